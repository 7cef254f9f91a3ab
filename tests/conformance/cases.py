"""Runs the core Autobahn cases against a WebSocket server on loopback and prints the verdicts as JSON.

usage: cases.py PORT
"""

import asyncio
import json
import sys

from kosoku import FailureError, run_fuzzingclient

# Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, sizes up to 16 MiB, odd cuts of the stream, and
# permessage-deflate in several ways of agreeing on it. Left out: the other few hundred of the same kinds, for their
# time, and 13.2, 13.5, 13.6 and 13.7, which this version of the runner cannot run against any server.
CORE = [
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.*", "9.2.*", "9.3.*", "9.5.*", "10.*",
    "12.1.1", "12.1.2", "12.1.3", "12.2.1", "12.3.1", "12.4.1", "12.5.1",
    "13.1.1", "13.3.1", "13.4.1",
]


async def main(port: int) -> None:
    try:
        results = await run_fuzzingclient(f"ws://127.0.0.1:{port}", CORE, [], concurrency=4)
    except FailureError as failure:
        results = failure.results
    verdicts = {
        result.case_id: {
            "behavior": result.behavior.value,
            "close": result.behavior_close.value,
            "code": result.remote_close_code,
            "reason": result.remote_close_reason,
            "passed": result.passed,
        }
        for result in results
    }
    json.dump(verdicts, sys.stdout)


asyncio.run(main(int(sys.argv[1])))
