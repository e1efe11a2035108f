"""A page that counts its visits in Redis and writes them to PostgreSQL."""

import os

import psycopg2
import redis
from flask import Flask, jsonify

app = Flask(__name__)
cache = redis.Redis.from_url(os.environ["REDIS_URL"])


def connect():
    return psycopg2.connect(os.environ["DATABASE_URL"])


def prepare():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS visits (id SERIAL PRIMARY KEY, at TIMESTAMPTZ DEFAULT now())"
        )


@app.get("/")
def index():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO visits DEFAULT VALUES")
        cursor.execute("SELECT count(*) FROM visits")
        rows = cursor.fetchone()[0]
    return jsonify(rows_in_postgres=rows, hits_in_redis=cache.incr("hits"))


if __name__ == "__main__":
    prepare()
    app.run(host="0.0.0.0", port=5000)
