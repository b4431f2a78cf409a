//! What the terminal can show.

use std::io::{self, IsTerminal as _};

use trueup_agents::Environment;

/// Columns where nothing says how many there are.
const COLUMNS_DEFAULT: usize = 80;

/// What output goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Columns.
    pub(crate) columns: usize,
    /// Whether colours are shown.
    pub(crate) has_colour: bool,
}

impl Terminal {
    /// Standard output. Colour only on a terminal, and not where `NO_COLOR` is set.
    pub(crate) fn of_stdout(environment: &Environment) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let size = is_terminal.then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
        let columns = environment.variable("COLUMNS").and_then(|columns| columns.parse().ok());
        let columns = columns
            .or_else(|| size.map(|size| usize::from(size.ws_col)))
            .filter(|columns| *columns > 0)
            .unwrap_or(COLUMNS_DEFAULT);
        let is_dumb = environment.variable("TERM") == Some("dumb");
        let has_colour = is_terminal && !is_dumb && environment.variable("NO_COLOR").is_none();
        Self { columns, has_colour }
    }

    /// A text in bold, where that is shown.
    pub(crate) fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    /// A text dimmed, where that is shown.
    pub(crate) fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    /// A text in green, where that is shown.
    pub(crate) fn green(self, text: &str) -> String {
        self.styled("32", text)
    }

    /// A text in yellow, where that is shown.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.styled("33", text)
    }

    /// A text in red and bold, where that is shown.
    pub(crate) fn red(self, text: &str) -> String {
        self.styled("1;31", text)
    }

    fn styled(self, code: &str, text: &str) -> String {
        if self.has_colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
