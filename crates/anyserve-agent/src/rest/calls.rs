//! Which path is which call.

use http::Method;
use percent_encoding::percent_decode_str;

/// A call, with the names that its path has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// One whose request has tensors.
    Tensors(Tensors, Model),
    /// Any other.
    Plain(Plain),
}

/// What comes of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tensors {
    Infer,
    Generate,
    GenerateStream,
}

/// A call without tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Server,
    Live,
    Ready,
    Metadata(Model),
    ModelReady(Model),
    Config(Model),
    /// Of all models, if it has no name.
    Statistics(Model),
    Index,
    Load(String),
    Unload(String),
    /// Of all regions, if it has no name.
    SharedMemoryStatus(String),
    SharedMemoryRegister(String),
    /// All regions, if it has no name.
    SharedMemoryUnregister(String),
    /// Of GPUs, which is not served.
    CudaSharedMemory(Method),
}

/// A model as a path names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    /// Empty if the path has none.
    pub(super) version: String,
}

impl Call {
    /// The call of that path; none if there is none.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path).strip_prefix("/v2")?;
        let mut parts = path.split('/');
        if parts.next() != Some("") {
            return None;
        }
        let parts = parts.map(decoded).collect::<Option<Vec<_>>>()?;
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        Some(Self::Plain(match parts[..] {
            [] => Plain::Server,
            ["health", "live"] => Plain::Live,
            ["health", "ready"] => Plain::Ready,
            ["models", "stats"] => Plain::Statistics(Model::default()),
            ["models", name, "versions", version, ref call @ ..] => {
                return Self::of_model(name, version, call);
            }
            ["models", name, ref call @ ..] => return Self::of_model(name, "", call),
            ["repository", "index"] => Plain::Index,
            ["repository", "models", name, "load"] => Plain::Load(name.to_owned()),
            ["repository", "models", name, "unload"] => Plain::Unload(name.to_owned()),
            ["systemsharedmemory", "region", name, call] => Plain::of_region(name, call)?,
            ["systemsharedmemory", call] if call != "register" => Plain::of_region("", call)?,
            ["cudasharedmemory", .., "status"] => Plain::CudaSharedMemory(Method::GET),
            ["cudasharedmemory", .., "register" | "unregister"] => Plain::CudaSharedMemory(Method::POST),
            _ => return None,
        }))
    }

    fn of_model(name: &str, version: &str, call: &[&str]) -> Option<Self> {
        let model = Model { name: name.to_owned(), version: version.to_owned() };
        Some(match call {
            [] => Self::Plain(Plain::Metadata(model)),
            ["ready"] => Self::Plain(Plain::ModelReady(model)),
            ["config"] => Self::Plain(Plain::Config(model)),
            ["stats"] => Self::Plain(Plain::Statistics(model)),
            ["infer"] => Self::Tensors(Tensors::Infer, model),
            ["generate"] => Self::Tensors(Tensors::Generate, model),
            ["generate_stream"] => Self::Tensors(Tensors::GenerateStream, model),
            _ => return None,
        })
    }

    /// How it is called; `GET` stands for `HEAD` too.
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Plain(call) => call.method(),
            Self::Tensors(..) => Method::POST,
        }
    }
}

impl Plain {
    fn of_region(name: &str, call: &str) -> Option<Self> {
        let name = name.to_owned();
        Some(match call {
            "status" => Self::SharedMemoryStatus(name),
            "register" => Self::SharedMemoryRegister(name),
            "unregister" => Self::SharedMemoryUnregister(name),
            _ => return None,
        })
    }

    fn method(&self) -> Method {
        match self {
            Self::Index
            | Self::Load(_)
            | Self::Unload(_)
            | Self::SharedMemoryRegister(_)
            | Self::SharedMemoryUnregister(_) => Method::POST,
            Self::CudaSharedMemory(method) => method.clone(),
            _ => Method::GET,
        }
    }
}

/// A part of a path; none if it is empty, or is not UTF-8.
fn decoded(part: &str) -> Option<String> {
    let decoded = percent_decode_str(part).decode_utf8().ok()?;
    (!decoded.is_empty()).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_calls() {
        let model = |name: &str, version: &str| Model { name: name.to_owned(), version: version.to_owned() };
        let plain = [
            ("/v2", Plain::Server),
            ("/v2/", Plain::Server),
            ("/v2/health/ready", Plain::Ready),
            ("/v2/models/stats", Plain::Statistics(Model::default())),
            ("/v2/models/m/versions/3", Plain::Metadata(model("m", "3"))),
            ("/v2/repository/models/m/unload", Plain::Unload("m".to_owned())),
            ("/v2/systemsharedmemory/status", Plain::SharedMemoryStatus(String::new())),
            ("/v2/systemsharedmemory/region/r/register", Plain::SharedMemoryRegister("r".to_owned())),
            ("/v2/cudasharedmemory/region/r/register", Plain::CudaSharedMemory(Method::POST)),
        ];
        for (path, call) in plain {
            assert_eq!(Call::of(path), Some(Call::Plain(call)), "{path}");
        }
        let tensors = [
            ("/v2/models/a%2Fb%20c/infer", Tensors::Infer, model("a/b c", "")),
            ("/v2/models/m/versions/3/generate_stream", Tensors::GenerateStream, model("m", "3")),
        ];
        for (path, how, model) in tensors {
            assert_eq!(Call::of(path), Some(Call::Tensors(how, model)), "{path}");
        }
        let unknown = [
            "/",
            "/v1",
            "/v22",
            "/v2/models",
            "/v2/models//infer",
            "/v2/models/m/versions",
            "/v2/models/%ff",
            "/v2/models/m/infer/x",
            "/v2/systemsharedmemory/register",
            "/v2/health",
        ];
        for path in unknown {
            assert_eq!(Call::of(path), None, "{path}");
        }
    }
}
