"""The grammar of an answer that is free text or calls by a schema, in xgrammar's EBNF."""

import re

# Text must not be read as a call: it begins with neither JSON nor a tag, and holds neither the start of
# an object whose first key may be a call's (name, type, parameters, arguments) nor that of <function=.
_FREE = r"""
root ::= free_text | calls
free_text ::= "" | [ \t\r\n]* [^{[< \t\r\n] free_piece* free_end
free_piece ::= [^{<] | free_brace | "<" [^f{<]
free_brace ::= "{" [ \t\r\n{]* ([^ \t\r\n{<"] | "\"" [^ntpa{<] | "<" [^f{<])
free_end ::= "" | "{" [ \t\r\n{]* | "{" [ \t\r\n{]* "\"" | "<"
calls ::= call (call_separator call)*
call_separator ::= [ \t\r\n]* [;,]? [ \t\r\n]*
"""
# A rule's name outside of strings and character classes.
_ROOT = re.compile(r'("(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\])|\broot\b')


def text_or_calls(call: str) -> str:
    """Takes the grammar of one call."""
    return _FREE.lstrip() + _ROOT.sub(lambda match: match[1] or "call", call)
