import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.review import CLINICIANS, PROFESSIONS, REVIEW_VERDICTS, Review, status_of

NOW, OLD = "a" * 16, "b" * 16


def review(verdict="agree", *, text=NOW, reviewer="A", profession="physician"):
    return Review(reviewer=reviewer, profession=profession, date="2026-11-24", verdict=verdict, text=text)


@pytest.mark.parametrize(
    ("reviews", "status"),
    [
        ([], "unreviewed"),
        ([review(text=OLD)], "outdated"),
        ([review(profession="lawyer")], "not_by_clinician"),
        ([review()], "agreed"),
        ([review("reject", text=OLD), review()], "agreed"),
        ([review(), review("change", reviewer="B")], "change_asked"),
        ([review("reject", reviewer="C"), review("change", reviewer="B"), review()], "rejected"),
        ([review("reject"), review()], "agreed"),  # the same reviewer's last word
        ([review(), review("reject", reviewer="B", profession="other")], "agreed"),
    ],
)
def test_status(reviews, status):
    assert status_of(reviews, NOW) == status


REVIEWS = st.lists(
    st.builds(
        review, st.sampled_from(REVIEW_VERDICTS), text=st.sampled_from([NOW, OLD]), reviewer=st.sampled_from("ABC"),
        profession=st.sampled_from(PROFESSIONS),
    )
)  # fmt: skip


@given(REVIEWS)
def test_reviewed_means_a_clinician_read_this_text(reviews):
    by_clinician = any(r.text == NOW and r.profession in CLINICIANS for r in reviews)

    assert (status_of(reviews, NOW) in ("agreed", "change_asked", "rejected")) == by_clinician
