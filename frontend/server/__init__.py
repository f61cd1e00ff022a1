"""Below ASGI: processes, sockets, connections and the HTTP parser. Knows nothing of any API."""
