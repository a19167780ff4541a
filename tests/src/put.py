"""Puts the files of a directory into a bucket, many at a time, as hosts would: put.py ENDPOINT BUCKET/PREFIX/ DIRECTORY"""

import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import botocore.config
import botocore.session

endpoint, at, directory = sys.argv[1:]
bucket, prefix = at.split("/", 1)
config = botocore.config.Config(
    retries={"total_max_attempts": 8, "mode": "standard"},
    max_pool_connections=32,
    s3={"addressing_style": "path"},
)
client = botocore.session.get_session().create_client("s3", endpoint_url=endpoint, config=config)


def put(path):
    client.put_object(Bucket=bucket, Key=prefix + path.name, Body=path.read_bytes())


with ThreadPoolExecutor(32) as threads:
    list(threads.map(put, pathlib.Path(directory).iterdir()))
