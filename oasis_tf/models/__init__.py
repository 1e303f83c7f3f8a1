"""The networks: functions of tensors that know nothing of data or training."""
