"""The texts of wrappers: taken apart as data, refused in one line that says how to write them."""

import os
from pathlib import Path

import pytest

from rlbench.user_code.refs import Ref
from rlbench.user_code.wrapping import canonical, parse_wrapper, relocated, told, wrapper_code

STACK = "gymnasium.wrappers:FrameStackObservation(stack_size=4)"


@pytest.mark.parametrize(
    ("text", "code", "kwargs"),
    [
        (STACK, Ref("gymnasium.wrappers", "FrameStackObservation"), {"stack_size": 4}),
        ("my_env.py:W", Ref("my_env.py", "W"), {}),
        ("a.b.c:W()", Ref("a.b.c", "W"), {}),
        (" a:W ( x = -1.5 ,\n y=None, ) ", Ref("a", "W"), {"x": -1.5, "y": None}),
        ("a:W(x={'b:C(d=1)': (True, [b'1'])})", Ref("a", "W"), {"x": {"b:C(d=1)": (True, [b"1"])}}),
        ("C:/with (space)/a.py:W(x='\\d')", Ref("C:/with (space)/a.py", "W"), {"x": "\\d"}),
    ],
)
def test_a_text_is_where_a_class_is_and_what_it_is_given(text: str, code: Ref, kwargs: object) -> None:
    one = parse_wrapper(text)
    assert (one.code, one.kwargs) == (code, kwargs)
    assert parse_wrapper(str(one)) == one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The form is MODULE:CLASS"),
        ("a:W(x=1", "The form is MODULE:CLASS"),
        ("a b:W", "The form is MODULE:CLASS"),
        ("a:W; import os", "The form is MODULE:CLASS"),
        ("FrameStackObservation(stack_size=4)", f"Say where it is: '{STACK}'"),
        (STACK.replace(":", "."), f"The class comes after a colon: '{STACK}'"),
        ("a:W(4)", "arguments are given by name: W(NAME=4)"),
        ("a:W(*[1])", "arguments are given by name"),
        ("a:W(**{'x': 1})", "not by **"),
        ("a:W(x=1, x=2)", "x is given twice"),
        ("a:W(x=1)(y=2)", "one pair of brackets"),
        ("a:W(x=1).y()", "one pair of brackets"),
        ("a:W(x=)", "cannot be read"),
        ("a:W(x=1) or b:W(x=1)", "cannot be read"),
        (f"a:W(x={'[' * 500}{']' * 500})", "cannot be read"),
        (f"a:W(x={'-' * 9000}1)", "cannot be read"),
        (f"a:W(x={'9' * 5000})", "cannot be read"),
        (f"a:W(x='{'9' * 50000}')", "is too long"),
        ("a:W(x=1e999)", "x must be a finite number, a text, True, False, None, or a list, tuple or dict"),
        ("a:W(x=1j)", "not 1j"),
        ("a:W(x={1, 2})", "not {1, 2}"),
        ("a:W(x=[set()])", "x must be"),
        ("a:W(x=f'{1}')", "x must be"),
        ("a:W(x=1 + 1)", "not 1 + 1"),
        ("a:W(x=numpy.float32)", "not numpy.float32"),
    ],
)
def test_what_is_no_wrapper_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as error:
        parse_wrapper(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_nothing_of_it_is_ever_evaluated(tmp_path: Path) -> None:
    fatal = f"__import__('pathlib').Path({str(tmp_path / 'seen')!r}).touch()"
    for text in (f"a:W(x={fatal})", f"a:W({fatal})", f"a:W(x=[{fatal}])", f"a:W(x=lambda: {fatal})", f"a:W(**{fatal})"):
        with pytest.raises(ValueError, match="a:W"):
            parse_wrapper(text)
    assert not (tmp_path / "seen").exists()


def test_a_text_has_one_spelling_and_its_file_one_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.path.join(tmp_path, "my.py")
    assert canonical(["my.py:W( x = 1.50,y='a' )", "a:W()"]) == [f"{here}:W(x=1.5, y='a')", "a:W"]


def test_gymnasiums_own_are_nobodys_code_and_all_others_are() -> None:
    texts = [STACK, "my.py:W(x=1)", "my.py:V", "gymnasium.wrappers.py:W", "gymnasium.wrappers_of_mine:W", "gymnasium:W"]
    found = wrapper_code([*texts, "gymnasium.wrappers.rendering:AddWhiteNoise(probability_of_noise_per_pixel=0.1)"])
    assert found == ["my.py", "gymnasium.wrappers.py", "gymnasium.wrappers_of_mine", "gymnasium"]


def test_a_file_that_has_moved_is_where_its_user_says() -> None:
    texts = [STACK, "/old/my.py:W(x=1)", "/old/other.py:W", "mod:W"]
    given = ["/new/my.py", "/new/third.py", "mod"]
    assert relocated(texts, given) == [STACK, "/new/my.py:W(x=1)", "/old/other.py:W", "mod:W"]


def test_runs_are_compared_by_the_content_of_files_and_not_by_their_paths() -> None:
    code = {"/a/my.py:MyEnv": {"file": "/a/my.py", "sha256": "0123456789"}, "mod": {"sha256": "abcdef0123"}}
    assert told([STACK, "/a/my.py:W(x=1)", "mod:W"], code) == [STACK, "my.py:W(x=1) of 01234567", "mod:W of abcdef01"]
    assert told(["/b/my.py:W(x=1)"], code) == ["/b/my.py:W(x=1)"]
    for damaged in (None, 3, "a b", [3, None], ["a:W(x="]):
        assert told(damaged, None) == [str(one) for one in (damaged if isinstance(damaged, list) else [damaged])]
    for about in (None, [], {"/a/my.py": None}, {"/a/my.py": {}}, {"/a/my.py": 3}):
        assert told(["/a/my.py:W"], about) == ["/a/my.py:W"]
