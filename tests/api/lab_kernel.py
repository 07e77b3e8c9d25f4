"""Runs code in a kernel over its WebSocket, as a notebook page does. Run by a Python that has websocket-client:
lab_kernel.py URL ORIGIN CODE; prints what the code printed, or the error, and exits with 1 on an error."""
import json
import ssl
import sys
import uuid

import websocket


def main(url, origin, code):
    try:
        ws = websocket.create_connection(f"{url}?session_id={uuid.uuid4()}", timeout=120, origin=origin,
                                         sslopt={"cert_reqs": ssl.CERT_NONE})
    except websocket.WebSocketBadStatusException as refused:
        print(refused.status_code)
        return 3
    me = uuid.uuid4().hex
    ws.send(json.dumps({
        "channel": "shell", "parent_header": {}, "metadata": {}, "buffers": [],
        "header": {"msg_id": me, "msg_type": "execute_request", "session": uuid.uuid4().hex, "username": "", "version": "5.3",
                   "date": "2026-01-01T00:00:00Z"},
        "content": {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                    "stop_on_error": True}}))
    failed = False
    while True:
        message = json.loads(ws.recv())
        if message["parent_header"].get("msg_id") != me:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            print(content["text"], end="")
        elif kind == "error":
            print("\n".join(content["traceback"]))
            failed = True
        elif kind == "status" and content["execution_state"] == "idle":
            ws.close()
            return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
