#!/usr/bin/env python3
"""Chatter's helper: turns what Chatter's server sent into what the user sees.

The push service runs it as `helper.py INFILE OUTFILE` for each message: the payload is in INFILE, and what is to
be shown and kept goes to OUTFILE. It has five seconds, no network, and no more than this to do.
"""

import json
import sys

infile, outfile = sys.argv[1:]
with open(infile, encoding="utf-8") as file:
    note = json.load(file)

with open(outfile, "w", encoding="utf-8") as file:
    json.dump({
        # What the app will find in its mailbox.
        "message": note,
        # What the user notices now. A later note of the same person takes the place of this one.
        "notification": {
            "tag": note["from"],
            "card": {"summary": note["from"], "body": note["text"], "popup": True, "persist": True},
            "sound": True,
            "emblem-counter": {"count": 1, "visible": True},
        },
    }, file)
