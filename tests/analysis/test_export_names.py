"""How exported files are named."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from etl.analysis.file_names import file_names


def names(*frames: str) -> list[str]:
    """Names of frames such as `2021-03-01T09:49:07 S3A`."""
    times, satellites = zip(*(frame.split() for frame in frames), strict=True)
    return file_names("Europe", [datetime.fromisoformat(time) for time in times], satellites)


def test_a_name_tells_continent_satellite_and_day() -> None:
    assert names("2021-03-01T09:49:07 S3A", "2021-03-01T09:49:07 S3B", "2021-03-02T09:49:07 S3A") == [
        "NDVI_Europe_S3A_20210301",
        "NDVI_Europe_S3B_20210301",
        "NDVI_Europe_S3A_20210302",
    ]


def test_frames_of_one_satellite_on_one_day_have_their_times_too() -> None:
    assert names(
        "2021-03-01T09:49:07 S3A",
        "2021-03-01T11:30:00 S3A",
        "2021-03-01T11:30:41 S3A",
        "2021-03-01T09:49:07 S3B",
        "2021-03-02T09:49:07 S3A",
    ) == [
        "NDVI_Europe_S3A_20210301_0949",
        "NDVI_Europe_S3A_20210301_113000",
        "NDVI_Europe_S3A_20210301_113041",
        "NDVI_Europe_S3B_20210301",
        "NDVI_Europe_S3A_20210302",
    ]


def test_words_of_a_continent_are_parted_by_hyphens() -> None:
    assert file_names("South America", [datetime(2021, 3, 1)], ["S3A"]) == ["NDVI_South-America_S3A_20210301"]


@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(2021, 3, 1), datetime(2021, 3, 2)).map(
                lambda time: time.replace(microsecond=0)
            ),
            st.sampled_from(["S3A", "S3B"]),
        ),
        unique=True,
        max_size=40,
    )
)
def test_no_two_frames_have_the_same_name(frames: list[tuple[datetime, str]]) -> None:
    times, satellites = [time for time, _ in frames], [satellite for _, satellite in frames]

    assert len(set(file_names("Europe", times, satellites))) == len(frames)
