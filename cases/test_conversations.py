"""Every case of the corpus is one item here."""


def test_conversation(case, judged):
    judged.require()
