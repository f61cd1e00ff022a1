"""OpenAI's chats, into which the other chat APIs are translated."""
