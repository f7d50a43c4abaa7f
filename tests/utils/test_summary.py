import nbgrad
from nbgrad import nn


def test_a_table_of_layers():
    net = nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 2))
    net[0].bias.requires_grad = False
    table = nbgrad.utils.summary(net, nbgrad.ones(5, 1, 3))
    assert net.training and net[0]._hooks == {}
    assert [row[:2] for row in table.rows] == [("", "Sequential"), ("0", "Linear"), ("1", "LSTM")]
    assert table.rows[1][2] == "(5, 1, 4)" and table.rows[2][2] == "(5, 1, 2), (1, 1, 2), (1, 1, 2)"
    assert (table.total, table.trainable) == (16 + 64, 12 + 64)
    assert "80 parameters, 76 of them trained" in str(table)
