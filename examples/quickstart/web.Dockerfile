FROM scratch
COPY target/release/web /web
COPY site /site
EXPOSE 8080
USER 1000:1000
ENTRYPOINT ["/web"]
