import pytest

from anomaly_gan.masks.rating.ratings import ExpertEntry, read_experts, read_ratings
from infra.errors import DataError


def test_ratings_keep_the_text_and_how_it_was_read() -> None:
    text = (
        "\ufeffNote, Mask ,Expert,SCORE\r\n"
        ",m1,ana,Very-High\r\n"
        '"a ""b""",m1,"Bo, Dr", 0.7 \r\n'
        'x,m2,ana,"(0.5, 0.7, 0.9)"\r\n'
    )
    assert [(each.mask, each.expert, each.text, each.triangle) for each in read_ratings(text, "r.csv")] == [
        ("m1", "ana", "Very-High", (0.75, 1, 1)),
        ("m1", "Bo, Dr", "0.7", (0.7, 0.7, 0.7)),
        ("m2", "ana", "(0.5, 0.7, 0.9)", (0.5, 0.7, 0.9)),
    ]


def test_blank_lines_and_empty_scores_are_no_ratings() -> None:
    ratings = read_ratings("mask,expert,score\n\nm1,ana,\n,,\nm1,ana,0.5\n", "r.csv")
    assert [each.text for each in ratings] == ["0.5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.csv: needs one column 'mask', its first line is ''; begin the file with mask,expert,score"),
        ("mask,score\n", "r.csv: needs one column 'expert', its first line is 'mask,score'"),
        ("mask,expert,score,score\n", "r.csv: needs one column 'score'"),
        ("mask,expert,score\n", "r.csv: has no rating; fill in at least one score"),
        ("mask,expert,score\nm1,ana,\n", "r.csv: has no rating"),
        ("mask,expert,score\n,ana,1\n", "r.csv, line 2: column 'mask' is empty; fill it in"),
        ("mask,expert,score\nm1, ,1\n", "r.csv, line 2: column 'expert' is empty; fill it in"),
        ("mask,expert,score\nm1,ana,1.2\n", "r.csv, line 2: score '1.2' is not within 0 and 1; rate from 0"),
        ("mask,expert,score\nm1,ana,nan\n", "r.csv, line 2: score 'nan' is not within 0 and 1"),
        ("mask,expert,score\n\nm1,ana,great\n", "r.csv, line 3: score 'great' is no rating; write a number"),
        ("mask,expert,score\nm1,ana,0.9/0.7/0.5\n", "r.csv, line 2: score '0.9/0.7/0.5' is out of order; write"),
        (
            "mask,expert,score\nm1,ana,0.5,0.7,0.9\n",
            "r.csv, line 2: has 5 cells, the first line 3; put a cell with a comma in quotes",
        ),
        (
            "mask,expert,score\nm1,ana,1\nm2,ana,1\nm1,ana,0.5\n",
            "r.csv, line 4: expert ana rates mask m1 again, as in r.csv, line 2; keep one line",
        ),
        ('mask,expert,score\nm1,ana,"1\n', "r.csv, line 2: is not CSV (unexpected end of data); close every quote"),
    ],
)
def test_a_wrong_table_of_ratings_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_ratings(text, "r.csv")
    assert str(caught.value).startswith(message)


def test_experts_have_a_weight_and_a_rank() -> None:
    assert read_experts("expert,weight,senior\nana,2.5,Yes\nbo,,0\n", "e.csv") == [
        ExpertEntry(name="ana", weight=2.5, senior=True),
        ExpertEntry(name="bo", weight=1, senior=False),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expert,senior\n", "e.csv: needs one column 'weight', its first line is 'expert,senior'"),
        ("expert,weight,senior\n", "e.csv: has no expert; add a line for each"),
        ("expert,weight,senior\n,1,yes\n", "e.csv, line 2: column 'expert' is empty; fill it in"),
        (
            "expert,weight,senior\nana,1,yes\nana,1,no\n",
            "e.csv, line 3: expert ana stands twice in the table; keep one",
        ),
        ("expert,weight,senior\nana,1,maybe\n", "e.csv, line 2: senior must be yes or no, got 'maybe'"),
        ("expert,weight,senior\nana,1,\n", "e.csv, line 2: senior must be yes or no, got ''"),
        *(
            (
                f"expert,weight,senior\nana,{weight},yes\n",
                f"e.csv, line 2: weight must be a number above 0, got '{weight}'; leave it empty for 1",
            )
            for weight in ("0", "-1", "nan", "inf", "heavy")
        ),
    ],
)
def test_a_wrong_table_of_experts_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_experts(text, "e.csv")
    assert str(caught.value).startswith(message)
