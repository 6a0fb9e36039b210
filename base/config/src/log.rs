//! `[log]`: what is written to standard error.

use crate::table::section;
use crate::value::choice;

choice! {
    /// The form of a log line.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// From which weight on a line is written.
    pub enum LogLevel {
        /// Something needs a person.
        Error = "error",
        /// Something may need a person.
        Warn = "warn",
        /// What happened to each message.
        Info = "info",
        /// What each session did.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

section! {
    /// What is written to standard error.
    pub struct Log: Default {
        /// For people, or one JSON object a line for programs.
        #[key(example = "\"json\"", why = "the first reader is a person at a terminal", restart = true)]
        pub format: LogFormat = LogFormat::Text;
        /// From which weight on a line is written.
        #[key(example = "\"info\"", why = "tells the fate of each message and no more")]
        pub level: LogLevel = LogLevel::Info;
    }
}
