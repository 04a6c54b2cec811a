import io
from pathlib import Path

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are laid out and written empty: rendering takes most of the time."""

    def written(figure: Figure, where: Path | io.BytesIO, **_: object) -> None:
        figure.draw_without_rendering()
        content = b"<svg/>"
        if isinstance(where, io.BytesIO):
            where.write(content)
        else:
            where.write_bytes(content)

    monkeypatch.setattr(Figure, "savefig", written)
