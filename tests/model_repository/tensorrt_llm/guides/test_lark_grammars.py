import pytest
from guides.lark_grammars import ebnf_to_lark
from llguidance import LLMatcher, LLTokenizer

from tests.model_repository.preprocess.tiny_tokenizer import write_tiny_engine


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> LLTokenizer:
    folder = write_tiny_engine(tmp_path_factory.mktemp("tiny")) / "tokenizer"
    return LLTokenizer(str(folder / "tokenizer.json"), eos_token=0)


def accepts(tokenizer: LLTokenizer, ebnf: str, text: str) -> bool:
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(ebnf_to_lark(ebnf)), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("ebnf", "accepted", "refused"),
    [
        ('root ::= "a" | "ab"', ["a", "ab"], ["", "b", "abc"]),
        ('# choices\nroot ::= "a" # | "c"\n  | "b"\n', ["a", "b"], ["c"]),
        ('root ::= "#a" "[|" "("', ["#a[|("], ["#a"]),
        (r'root ::= "\"\\\n"', ['"\\\n'], ["\\n"]),
        (r'root ::= "\u00e9\x41\U0001F600\b\f\/"', ["éA😀\b\f/"], ["é"]),
        (r'root ::= "\u001f"', ["\x1f"], ["1f"]),
        (r"root ::= [\-\]\^a]+", ["a-^]"], ["b", "\\"]),
        (r'root ::= "\"" [^"\\\x00-\x1F]* "\""', ['""', '"é/["'], ['"\n"', '"""']),
        ("root ::= [/.]+", ["/./"], ["a"]),
        ('root ::= ([a-z]+)? "!"', ["!", "abc!"], ["abc"]),
        ('root ::= (("a" | "b"){2}){1,2}', ["ab", "abba"], ["a", "aba"]),
        ('root ::= ("a" | ) "c"', ["c", "ac"], ["a"]),
        ('root ::= sum\nsum ::= item ("+" item)*\nitem ::= [0-9]+ | "(" sum ")"', ["(1+22)+3"], ["(1", "1+"]),
        ('root ::= my-rule\r\nmy-rule ::= "a"\r\n  | "b"', ["a", "b"], ["ab"]),
    ],
)
def test_grammars(tokenizer: LLTokenizer, ebnf: str, accepted: list[str], refused: list[str]) -> None:
    assert [text for text in accepted if not accepts(tokenizer, ebnf, text)] == []
    assert [text for text in refused if accepts(tokenizer, ebnf, text)] == []


@pytest.mark.parametrize(
    ("ebnf", "complaint"),
    [
        ("", "No 'root' rule"),
        ('a ::= "b"', "No 'root' rule"),
        ('root ::= "b', "Unexpected end of input"),
        ("root ::= [b", "Unexpected end of input"),
        (r'root ::= "\d"', "Invalid escape sequence"),
        ("root ::= " + "(" * 5000 + '"a"' + ")" * 5000, "recursion"),
        ('root ::= "a"\n' * 1001, "more than 1000 rules"),
        (r'root ::= "\U00110000"', "chr"),
    ],
)
def test_refusals(ebnf: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ebnf_to_lark(ebnf)
