"""Histograms of one axis, without a library."""


class Bins:
    """Histogram of one regular axis in the protocol of histograms (UHI)."""

    kind = "COUNT"

    def __init__(self, counts, edges):
        self.counts, self.edges = counts, edges
        self.axes = (Axis(edges),)

    def values(self):
        return self.counts

    def variances(self):
        return self.counts


class Axis:
    traits = None

    def __init__(self, edges):
        self.edges = edges

    def __len__(self):
        return len(self.edges) - 1

    def __getitem__(self, index):
        return self.edges[index], self.edges[index + 1]
