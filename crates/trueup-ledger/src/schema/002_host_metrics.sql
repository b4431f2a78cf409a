-- What the sampler of `serve` reads of the machine; docs/host-metrics.md says what each is. Null: could
-- not be read.
ALTER TABLE system_metrics ADD COLUMN cpu_capacity_millicores INTEGER;
ALTER TABLE system_metrics ADD COLUMN cpu_some_millipercent INTEGER;
ALTER TABLE system_metrics ADD COLUMN cpu_full_millipercent INTEGER;
ALTER TABLE system_metrics ADD COLUMN mem_some_millipercent INTEGER;
ALTER TABLE system_metrics ADD COLUMN mem_full_millipercent INTEGER;
ALTER TABLE system_metrics ADD COLUMN io_some_millipercent INTEGER;
ALTER TABLE system_metrics ADD COLUMN io_full_millipercent INTEGER;
ALTER TABLE system_metrics ADD COLUMN disk_available_bytes INTEGER;
ALTER TABLE system_metrics ADD COLUMN disk_read_bytes_per_second INTEGER;
ALTER TABLE system_metrics ADD COLUMN disk_write_bytes_per_second INTEGER;
ALTER TABLE system_metrics ADD COLUMN net_rx_bytes_per_second INTEGER;
ALTER TABLE system_metrics ADD COLUMN net_tx_bytes_per_second INTEGER;
ALTER TABLE system_metrics ADD COLUMN processes INTEGER;
ALTER TABLE system_metrics ADD COLUMN threads INTEGER;
ALTER TABLE system_metrics ADD COLUMN zombies INTEGER;
ALTER TABLE system_metrics ADD COLUMN oom_kills INTEGER;
