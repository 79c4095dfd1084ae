#!/usr/bin/env python3
"""Chatter's server, as far as push goes: posts one note to the push server.

    server.py TOKEN FROM TEXT [URL]    URL is the push server's API [default: http://localhost:8080]
"""

import json
import sys
import urllib.error
import urllib.request

if len(sys.argv) not in (4, 5):
    sys.exit(__doc__)
token, sender, text, *url = sys.argv[1:]
message = {"token": token, "appid": "_chatter", "data": {"from": sender, "text": text}, "ttl_seconds": 86400, "urgency": "high"}
request = urllib.request.Request(
    (url or ["http://localhost:8080"])[0] + "/v1/messages",
    data=json.dumps(message).encode(),
    headers={"Content-Type": "application/json"},
)
try:
    with urllib.request.urlopen(request) as answer:
        print(json.load(answer)["id"])
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
