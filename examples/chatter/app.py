#!/usr/bin/env python3
"""Chatter, the app: asks for its token, and reads its mailbox whenever it hears that something is there.

    app.py token    prints what Chatter's server needs to reach this device
    app.py read     prints what waits in the mailbox, and empties it
    app.py follow   does so now and whenever something comes, until Ctrl-C

It talks to the push service by `gdbus`, which comes with GLib (Debian: libglib2.0-bin). A real app would use the
D-Bus library of its language.
"""

import ast
import json
import subprocess
import sys

APP = "_chatter"
# Programs outside click packages share the path that ends in `_`.
PUSH = ("com.lomiri.PushNotifications", "/com/lomiri/PushNotifications/_")
POSTAL = ("com.lomiri.Postal", "/com/lomiri/Postal/_")


def call(service, method):
    """One D-Bus call about this app; its only result."""
    name, path = service
    command = ["gdbus", "call", "--session", "--dest", name, "--object-path", path, "--method", f"{name}.{method}", APP]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip())
    # gdbus prints results as GVariant text; for strings and lists of strings, Python reads that.
    return ast.literal_eval(done.stdout.replace("@as ", ""))[0]


def read():
    for message in call(POSTAL, "PopAll"):
        note = json.loads(message)
        print(f"{note['from']}: {note['text']}", flush=True)


def follow():
    name, path = POSTAL
    command = ["gdbus", "monitor", "--session", "--dest", name, "--object-path", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as monitor:
        for line in monitor.stdout:
            # The first is said when the monitor has begun to listen, and whenever the push service comes back.
            if " is owned by " in line or (".Post " in line and APP in line):
                read()


commands = {"token": lambda: print(call(PUSH, "Register")), "read": read, "follow": follow}
if len(sys.argv) != 2 or sys.argv[1] not in commands:
    sys.exit(__doc__)
try:
    commands[sys.argv[1]]()
except KeyboardInterrupt:
    pass
