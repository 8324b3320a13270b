"""What users take from an archive: files, time series, films."""
