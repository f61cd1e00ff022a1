"""The OpenAI API in front of Triton: a server, the APIs, limits, generations and the client of Triton.

A request goes down through server/, middleware/, api/, limits/, generation/, triton/ and grpc_client/. Its
tokens come up the same way. tests/style/test_frontend_rooms.py holds who may import whom.
"""
