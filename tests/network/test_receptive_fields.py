from minicnn.network.receptive_fields import Field


def test_fields_as_boxes():
    field = Field((7, 5), (2, 4), (-1, 0))
    assert field.box(0, 3) == [-1, 12, 6, 17]
    assert Field(None, (0, 0), (0, 0)).box(0, 0) is None
