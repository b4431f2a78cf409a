-- What servers from 24.8 on do better; said again at each start, which changes nothing.
ALTER TABLE llm_event
    MODIFY COLUMN source LowCardinality(String),
    MODIFY COLUMN provider LowCardinality(String),
    MODIFY COLUMN model LowCardinality(String),
    MODIFY COLUMN project LowCardinality(String),
    MODIFY COLUMN kind LowCardinality(String),
    MODIFY COLUMN ts_ms UInt64 CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN input_text Nullable(String) CODEC(ZSTD(3)),
    MODIFY COLUMN output_text Nullable(String) CODEC(ZSTD(3)),
    MODIFY COLUMN metadata Nullable(String) CODEC(ZSTD(3));
ALTER TABLE llm_event MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE error_event MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE custom_event MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE system_metric MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE dirty MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE device_state MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE batch MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE hub_token MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
