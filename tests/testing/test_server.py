import pytest

from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.testing.server import Faults


def test_fault_shares_are_read():
    assert Faults.parse(["rate_limit=0.1", "slow=1"]) == Faults(rate_limit=0.1, slow=1.0)


@pytest.mark.parametrize(
    ("setting", "told"),
    [("rate_limits=0.1", "no such fault. Known: error_500"), ("slow", "expected NAME=SHARE"), ("slow=often", "expected NAME=SHARE"), ("slow=1.5", "from 0 to 1")],
)
def test_wrong_fault_is_told(setting, told):
    with pytest.raises(ConfigError, match=told):
        Faults.parse([setting])
