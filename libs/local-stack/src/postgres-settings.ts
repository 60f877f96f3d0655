const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  // Said although they are the defaults: an accepted application must survive a power cut.
  fsync: 'on',
  synchronous_commit: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  log_autovacuum_min_duration: '-1',
  log_min_duration_statement: '-1',
  // Values are personal data and must not reach the log, not even with an error: no bound parameters,
  // no text of a failed statement, no DETAIL ("Failing row contains ...").
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

/** The settings of the embedded server, as arguments for the program. */
export const settingFlags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
