//! What a platform is: a machine to run the HRT kernel and the runtime on.

/// The platforms, by the names that `HRT_PLATFORM` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Take the best that can run here.
    Auto,
    /// Ring 0 or 3 of a VM that the process makes inside itself.
    Kvm,
    /// Ring 3 of the process itself, the HRT kernel as a library OS.
    Hosted,
    /// Plain Linux.
    Native,
}

impl Platform {
    /// The platform called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"auto" => Self::Auto,
            b"kvm" => Self::Kvm,
            b"hosted" => Self::Hosted,
            b"native" => Self::Native,
            _ => return None,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Hosted => "hosted",
            Self::Native => "native",
        }
    }
}

/// A machine that a process can be moved to.
///
/// `hybridize` either leaves the process untouched and says why, or leaves it hybridized; there is no state between,
/// so that `auto` can go on to the next platform.
pub trait Machine {
    /// Which platform this is.
    const PLATFORM: Platform;
    /// What the machine needs to know of the start of the process.
    type Start;

    /// Moves the process to this machine. No instruction of the program has run yet (of a static program), or only
    /// the constructors of its libraries (of a dynamic one).
    ///
    /// # Errors
    /// The reason why this machine cannot run here, as text for a person.
    fn hybridize(&self, start: &Self::Start) -> Result<(), &'static str>;
}
