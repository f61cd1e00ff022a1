"""As far as it is used: it raises RuntimeError for what it can't compile."""

import json
import re


class Grammar:
    @staticmethod
    def from_json_schema(schema: str) -> "Grammar":
        try:
            json.loads(schema)
        except ValueError as error:
            raise RuntimeError(f"Failed to parse JSON: {error}") from error
        return Grammar()

    @staticmethod
    def from_regex(regex: str) -> "Grammar":
        try:
            re.compile(regex)
        except re.error as error:
            raise RuntimeError(f"Regex parsing error: {error}") from error
        return Grammar()

    @staticmethod
    def from_ebnf(ebnf: str) -> "Grammar":
        if "root ::=" not in ebnf:
            raise RuntimeError('EBNF parsing error: The root rule with name "root" is not found.')
        return Grammar()
