"""Binds a unix datagram socket (`@name`: an abstract one) and prints each datagram that comes as a line of JSON."""
import json, socket, sys

address = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("\0" + address[1:] if address.startswith("@") else address)
print(json.dumps({"msg": "bound"}), flush=True)
while True:
    lines = receiver.recv(65536).decode().split("\n")
    print(json.dumps({"msg": "told", **dict(line.split("=", 1) for line in lines)}), flush=True)
