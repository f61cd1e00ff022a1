"""The pages for a person: a chat, the state of the server and its API; they ask nothing of other hosts."""
