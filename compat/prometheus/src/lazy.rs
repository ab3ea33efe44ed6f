//! Families whose messages are made when they are read.
//!
//! ```text
//! registry.gather()      a reading a family: numbers, and the plan of what does not change
//! text of a reading      the text before, with the numbers that differ                          no allocation a series
//! any access             the message, made once; from the first change on there is only the message
//! ```
//!
//! The numbers are those of the gathering, whenever the message is made.

use crate::plan::Plan;
use crate::proto::{MetricFamilyMessage, MetricType};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

/// Series of one name.
///
/// It dereferences to the message that it is in the `prometheus` crate, which is made on the first access. Name, help text and
/// type are known without it.
///
/// ```
/// use prometheus::{IntCounter, Registry, TextEncoder, proto::MetricType};
///
/// let registry = Registry::new();
/// let requests = IntCounter::new("requests_total", "Requests.")?;
/// registry.register(Box::new(requests.clone()))?;
/// let mut families = registry.gather();
/// requests.inc();
/// assert_eq!((families[0].name(), families[0].get_field_type()), ("requests_total", MetricType::COUNTER));
/// // The value at the time of the gathering.
/// assert!(TextEncoder::new().encode_to_string(&families)?.ends_with("\nrequests_total 0\n"));
/// families[0].set_name("renamed_total".to_owned());
/// assert!(TextEncoder::new().encode_to_string(&families)?.ends_with("\nrenamed_total 0\n"));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Default)]
pub struct MetricFamily {
    message: OnceLock<MetricFamilyMessage>,
    /// The numbers, as long as the message is unchanged.
    reading: Option<Reading>,
}

/// The numbers of one family at one time.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    plan: Arc<Plan>,
    /// The numbers of all families of a gathering.
    numbers: Arc<Vec<u64>>,
    /// The index at which this family's begin.
    from: usize,
}

impl Reading {
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    pub(crate) fn numbers(&self) -> &[u64] {
        self.numbers.get(self.from..self.from + self.plan.words()).unwrap_or_default()
    }
}

impl MetricFamily {
    /// Returns a family without a name and without metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the family of a plan whose numbers begin at `from`.
    pub(crate) fn read(plan: Arc<Plan>, numbers: &Arc<Vec<u64>>, from: usize) -> Self {
        let numbers = Arc::clone(numbers);
        Self { message: OnceLock::new(), reading: Some(Reading { plan, numbers, from }) }
    }

    /// Returns the same numbers under another plan of the same series in the same order.
    pub(crate) fn with_plan(&self, plan: Arc<Plan>) -> Option<Self> {
        let Reading { numbers, from, .. } = self.reading.as_ref()?;
        Some(Self::read(plan, numbers, *from))
    }

    /// Returns the reading of a family that was not changed.
    pub(crate) fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    pub(crate) fn is_empty(&self) -> bool {
        match &self.reading {
            Some(reading) => reading.plan.is_empty(),
            None => self.get_metric().is_empty(),
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        match &self.reading {
            Some(reading) => reading.plan.name(),
            None => (**self).name(),
        }
    }

    /// Returns the name; as `name`.
    pub fn get_name(&self) -> &str {
        self.name()
    }

    /// Returns the help text.
    pub fn help(&self) -> &str {
        match &self.reading {
            Some(reading) => reading.plan.help(),
            None => (**self).help(),
        }
    }

    /// Returns the help text; as `help`.
    pub fn get_help(&self) -> &str {
        self.help()
    }

    /// Returns the type.
    pub fn get_field_type(&self) -> MetricType {
        match &self.reading {
            Some(reading) => reading.plan.kind(),
            None => (**self).get_field_type(),
        }
    }

    fn make(reading: Option<&Reading>) -> MetricFamilyMessage {
        reading.map(|reading| reading.plan.message(reading.numbers())).unwrap_or_default()
    }
}

impl Deref for MetricFamily {
    type Target = MetricFamilyMessage;

    fn deref(&self) -> &MetricFamilyMessage {
        self.message.get_or_init(|| Self::make(self.reading.as_ref()))
    }
}

impl DerefMut for MetricFamily {
    fn deref_mut(&mut self) -> &mut MetricFamilyMessage {
        let reading = self.reading.take();
        if self.message.get().is_none() {
            self.message = OnceLock::from(Self::make(reading.as_ref()));
        }
        match self.message.get_mut() {
            Some(message) => message,
            None => unreachable!("it was made"),
        }
    }
}

impl From<MetricFamilyMessage> for MetricFamily {
    fn from(message: MetricFamilyMessage) -> Self {
        Self { message: OnceLock::from(message), reading: None }
    }
}

impl From<MetricFamily> for MetricFamilyMessage {
    fn from(mut family: MetricFamily) -> Self {
        std::mem::take(&mut *family)
    }
}

impl Clone for MetricFamily {
    /// Returns a copy, without the message if it can be made again.
    fn clone(&self) -> Self {
        match &self.reading {
            Some(reading) => Self { message: OnceLock::new(), reading: Some(reading.clone()) },
            None => (**self).clone().into(),
        }
    }
}

impl PartialEq for MetricFamily {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for MetricFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(feature = "protobuf")]
mod message {
    use super::{MetricFamily, MetricFamilyMessage, MetricType};
    use protobuf::reflect::rt::RuntimeTypeMessage;
    use protobuf::reflect::{MessageDescriptor, ProtobufValue};
    use protobuf::{CodedInputStream, CodedOutputStream, Message, MessageFull, SpecialFields};
    use std::fmt;
    use std::sync::LazyLock;

    impl MetricFamily {
        /// Returns the type; as `get_field_type`.
        pub fn type_(&self) -> MetricType {
            self.get_field_type()
        }
    }

    impl Message for MetricFamily {
        const NAME: &'static str = MetricFamilyMessage::NAME;

        fn is_initialized(&self) -> bool {
            true
        }

        fn merge_from(&mut self, is: &mut CodedInputStream<'_>) -> protobuf::Result<()> {
            (**self).merge_from(is)
        }

        fn write_to_with_cached_sizes(
            &self,
            os: &mut CodedOutputStream<'_>,
        ) -> protobuf::Result<()> {
            (**self).write_to_with_cached_sizes(os)
        }

        fn compute_size(&self) -> u64 {
            (**self).compute_size()
        }

        fn special_fields(&self) -> &SpecialFields {
            (**self).special_fields()
        }

        fn mut_special_fields(&mut self) -> &mut SpecialFields {
            (**self).mut_special_fields()
        }

        fn new() -> Self {
            Self::default()
        }

        fn clear(&mut self) {
            *self = Self::default();
        }

        fn default_instance() -> &'static Self {
            static INSTANCE: LazyLock<MetricFamily> = LazyLock::new(MetricFamily::default);
            &INSTANCE
        }
    }

    impl MessageFull for MetricFamily {
        fn descriptor() -> MessageDescriptor {
            static DESCRIPTOR: LazyLock<MessageDescriptor> = LazyLock::new(|| {
                let file = crate::proto::file_descriptor();
                file.message_by_package_relative_name(MetricFamily::NAME)
                    .expect("it is in the file")
            });
            DESCRIPTOR.clone()
        }
    }

    impl ProtobufValue for MetricFamily {
        type RuntimeType = RuntimeTypeMessage<Self>;
    }

    impl fmt::Display for MetricFamily {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            protobuf::text_format::fmt(self, f)
        }
    }

    impl Default for &MetricFamily {
        fn default() -> Self {
            MetricFamily::default_instance()
        }
    }
}

#[cfg(all(test, feature = "protobuf"))]
mod tests {
    use crate::proto::MetricFamily;
    use crate::{IntCounterVec, Opts, Registry};
    use protobuf::{Message, MessageFull};

    fn family() -> MetricFamily {
        let registry = Registry::new();
        let vec = IntCounterVec::new(Opts::new("requests_total", "Requests."), &["n"]).unwrap();
        vec.with_label_values(&["1"]).inc();
        registry.register(Box::new(vec)).unwrap();
        registry.gather().remove(0)
    }

    #[test]
    fn a_family_is_a_message_with_reflection() {
        let family = family();
        let bytes = family.write_to_bytes().unwrap();
        let read = MetricFamily::parse_from_bytes(&bytes).unwrap();
        assert_eq!(read, family);
        assert_eq!(read.to_string(), family.to_string());
        assert!(family.to_string().starts_with("name: \"requests_total\" help: \"Requests.\""));
        let descriptor = MetricFamily::descriptor();
        assert_eq!(descriptor.name(), "MetricFamily");
        let mut made = descriptor.new_instance();
        made.merge_from_bytes_dyn(&bytes).unwrap();
        assert_eq!(*made.downcast_box::<MetricFamily>().unwrap(), family);
        assert_eq!(MetricFamily::default_instance(), <&MetricFamily>::default());
    }

    #[test]
    fn a_copy_of_a_changed_family_is_changed() {
        let mut family = family();
        let before = family.clone();
        family.mut_metric().clear();
        assert!(family.clone().get_metric().is_empty() && family != before);
        assert_eq!(before.clone().get_metric().len(), 1);
        family.clear();
        assert_eq!((family.name(), &family), ("", &MetricFamily::new()));
    }
}
