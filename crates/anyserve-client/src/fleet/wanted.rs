//! What a request wants, by whatever way it says so.

use anyserve_core::{CapabilityError, Query, Value};
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::inference::infer_parameter::ParameterChoice;

use crate::CallOptions;

/// What the replicas are looked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    Query(Query),
    /// What that stands for depends on what there is.
    Model {
        name: String,
        version: String,
    },
    Anything,
}

impl Wanted {
    pub(super) fn model(name: &str, version: &str) -> Self {
        Self::Model { name: name.to_owned(), version: version.to_owned() }
    }

    /// What the call or the request itself asks for, in the order in which a replica looks at it; none if there is only
    /// the model name.
    pub(super) fn of(
        request: &ModelInferRequest,
        options: &CallOptions,
    ) -> Result<Option<Self>, CapabilityError> {
        if let Some(query) = &options.capability {
            return Ok(Some(Self::Query(query.clone())));
        }
        let headers = options.headers.iter().filter_map(|(name, value)| {
            let key =
                name.get(..6).filter(|prefix| prefix.eq_ignore_ascii_case("x-cap-")).map(|_| &name[6..])?;
            Some((key, Value::from(value.as_str())))
        });
        let parameters = request.parameters.iter().filter_map(|(name, value)| {
            Some((name.strip_prefix("cap.")?, to_value(value.parameter_choice.as_ref()?)))
        });
        for pairs in [headers.collect::<Vec<_>>(), parameters.collect()] {
            if !pairs.is_empty() {
                return Query::new(pairs).map(Self::Query).map(Some);
            }
        }
        Ok(None)
    }
}

fn to_value(parameter: &ParameterChoice) -> Value {
    match parameter {
        ParameterChoice::BoolParam(truth) => Value::Boolean(*truth),
        ParameterChoice::Int64Param(number) => Value::Integer(*number),
        // An integer's text is canonical, whatever its size.
        ParameterChoice::Uint64Param(number) => Value::Text(number.to_string()),
        ParameterChoice::DoubleParam(number) => Value::Float(*number),
        ParameterChoice::StringParam(text) => Value::from(text.as_str()),
    }
}
