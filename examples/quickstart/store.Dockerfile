FROM scratch
COPY target/release/store /store
VOLUME /data
EXPOSE 7000
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --start-interval=200ms CMD ["/store", "health"]
ENTRYPOINT ["/store"]
