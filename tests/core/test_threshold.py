def test_tmp():
    pass
