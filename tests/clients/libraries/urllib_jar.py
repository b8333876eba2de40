"""Views the page three times with the standard library's http.cookiejar, and prints the counts."""

import http.cookiejar
import json
import sys
import urllib.request

jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
opener = urllib.request.build_opener(jar)
for _ in range(3):
    request = urllib.request.Request(sys.argv[1], headers={"Accept": "application/json"})
    with opener.open(request, timeout=10) as response:
        print(json.load(response)["views"])
