"""Files that are not there, are no YAML, or want to do more than say what is served."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyserve.config import ConfigError, load_config
from anyserve.errors import AnyserveError

from tests.config.conftest import Load, Wrong


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnyserveError, match=r"nowhere\.yaml: there is no such file$"):
        load_config(tmp_path / "nowhere.yaml")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it cannot be read: Is a directory"):
        load_config(tmp_path)


def test_a_file_without_end() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: it is larger than 1MiB"):
        load_config("/dev/zero")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"pools:\n  a\xff: 1", "2:4: the byte 0xff is not UTF-8"),
        ("pools: {ä: ö}".encode("latin-1"), "1:9: the byte 0xe4 is not UTF-8"),
        ("ä: é\nö: ".encode() + b"\xc3", "2:4: the byte 0xc3 is not UTF-8"),
        ("pools: {}".encode("utf-16"), "1:1: the byte 0xff is not UTF-8"),
        (b"pools:\n  a: \x07", "2:6: the character U+0007 is not allowed here"),
    ],
)
def test_a_file_that_is_no_text(tmp_path: Path, data: bytes, place: str) -> None:
    path = tmp_path / "anyserve.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert str(raised.value).startswith(f"{path}:{place}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pools:\n\ta: b\n", "2:1: a tab cannot indent; use spaces"),
        ("pools: {a: b: c}\n", "1:13: YAML: while parsing a flow mapping, expected ',' or '}', but got ':'"),
        ("pools: [a\n", "2:1: YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("a: b: c\n", "1:5: YAML: mapping values are not allowed here"),
        ("a:\n  b: 1\n c: 2\n", "3:2: YAML: while parsing a block mapping, expected <block end>, but found"),
        ("a: 'b\n", "2:1: YAML: while scanning a quoted scalar, found unexpected end of stream"),
        ("a: @b\n", "1:4: YAML: while scanning for the next token, found character '@' that cannot start any token"),
        ("a: *b\n", "1:4: YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "2:1: YAML: expected a single document in the stream, but found another document"),
    ],
)
def test_a_file_that_is_no_yaml(wrong: Wrong, text: str, problem: str) -> None:
    [found] = wrong(text)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("!!python/object/apply:os.system [echo]", "!!python/object/apply:os.system"),
        ("!!python/name:os.system ''", "!!python/name:os.system"),
        ("!mine a", "!mine"),
        ("!!binary aGFsbG8=", "!!binary"),
        ("!!set {a, b}", "!!set"),
        ("!!seq {a: b}", "!!seq"),
        ("!<tag:example.com,2000:x> a", "tag:example.com,2000:x"),
    ],
)
def test_a_tag_is_refused_and_nothing_else_about_its_value(wrong: Wrong, value: str, tag: str) -> None:
    problem = f"the tag '{tag}' has no meaning here; leave it out"
    assert wrong(f"pools:\n  a:\n    target: {value}\n") == [f"3:13: {problem}"]
    assert wrong(f"pools:\n  a:\n    factory: a:a\n    args: {{x: [{value}]}}\n") == [f"4:16: {problem}"]


def test_a_key_with_a_tag(wrong: Wrong) -> None:
    assert wrong("pools:\n  !x a: {target: 'a:a'}\n") == ["2:3: the tag '!x' has no meaning here; leave it out"]


def test_tags_of_plain_data_are_fine(load: Load) -> None:
    pool = load("pools: !!map {!!str a: {target: !!str 'a:a', min: !!int 1, preload: !!seq [x]}}").pools[0]
    assert (pool.options.min, pool.options.preload) == (1, ["x"])


def test_half_a_character(wrong: Wrong) -> None:
    [found] = wrong('pools: {a: {target: "a:\\ud800"}}')
    assert found.startswith("1:21: 'a:\\ud800' has half a character in it")


BOMB = "x-a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"x-{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "x-a: &a {k: 1}\n" + "".join(
    f"x-{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x: " + "[" * 500_000, "1:35: YAML: there are more than 32 levels of lists and mappings"),
        ("- " * 250_000, "1:65: YAML: there are more than 32 levels of lists and mappings"),
        ("x-a: &a " + "[" * 20 + "]" * 20 + "\nx: " + "[" * 20 + "*a" + "]" * 20, "2:24: YAML: there are more than 32"),
        (BOMB, "6:6: YAML: there are more than 100000 keys and values, aliases replaced"),
        (MERGE_BOMB, "6:14: YAML: there are more than 100000 keys and values, aliases replaced"),
        ("x-a: &a [*a]", "1:10: YAML: the alias '*a' is inside what it stands for"),
        ("pools: &a {a: {<<: *a}}", "1:20: YAML: the alias '*a' is inside what it stands for"),
        ("pools: 1" + ":1" * 100_000, "1:8: pools: '1:1:1:1:"),
        ("pools: '" + "a" * 500_000 + "'", f"1:8: pools: '{'a' * 57}...' stands where at least one pool belongs"),
    ],
    ids=["brackets", "dashes", "deep alias", "alias bomb", "merge bomb", "loop", "merge loop", "base 60", "long"],
)
def test_a_file_that_would_grow(wrong: Wrong, text: str, problem: str) -> None:
    [found] = wrong(text)
    assert found.startswith(problem)
    assert len(found) < 200


def test_values_are_counted_before_the_file_is_read_to_its_end(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyserve.config.document.MOST_VALUES", 100)
    [found] = wrong("x: [" + "a," * 100 + " then: @no YAML")
    assert found == "1:199: YAML: there are more than 100 keys and values, aliases replaced"


def test_a_thousand_pools(load: Load) -> None:
    text = "".join(f"  p{index}: {{target: 'a:a', capabilities: [{{model: m{index}}}]}}\n" for index in range(1000))
    assert len(load(f"pools:\n{text}").pools) == 1000
