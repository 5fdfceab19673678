"""A moment as everywhere else (`orchestrators.display.moments.utc`): to the second, with its zone."""

DATETIME_FORMAT = "Y-m-d H:i:s T"
