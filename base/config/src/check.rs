//! Rules that span keys and sections.

use crate::Config;
use crate::error::{ConfigError, Warning};

/// Everything that is wrong or doubtful about a configuration whose single values are right.
pub(crate) fn check(_config: &Config) -> (Vec<ConfigError>, Vec<Warning>) {
    (Vec::new(), Vec::new())
}
