"""Views the page three times with requests, and prints the counts."""

import sys

import requests

with requests.Session() as session:
    for _ in range(3):
        response = session.get(sys.argv[1], headers={"Accept": "application/json"}, timeout=10)
        print(response.json()["views"])
