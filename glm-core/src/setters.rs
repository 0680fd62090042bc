//! Options that other crates set field by field.

/// Writes a method for each field of a struct that is `#[non_exhaustive]`, so that other crates cannot write it out whole.
/// The type of the argument may be another one that becomes that of the field.
macro_rules! setters {
    ($options:ident $(<$lifetime:lifetime>)? { $($method:ident: $field:ident = $argument:ty),+ $(,)? }) => {
        impl $(<$lifetime>)? $options $(<$lifetime>)? {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $method(mut self, $field: $argument) -> Self {
                    self.$field = $field.into();
                    self
                }
            )+
        }
    };
}

pub(crate) use setters;
