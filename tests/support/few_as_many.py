"""Few events worked on in pieces, as many are."""


def work_in_pieces(monkeypatch, above, size):
    """From so many events on, in pieces of a size."""
    monkeypatch.setattr("sktamm._numerics._IN_PIECES_ABOVE", above)
    monkeypatch.setattr("sktamm._numerics._PIECE", size)
