//! The answers that have no tensors, as JSON, and the two requests that have a body.

use std::collections::BTreeMap;

use super::error::RestError;
use super::reader::Reader;
use super::writer::Writer;
use crate::inference::model_metadata_response::TensorMetadata;
use crate::inference::{
    InferBatchStatistics, InferResponseStatistics, ModelMetadataResponse, ModelStatistics,
    ModelStatisticsResponse, RepositoryIndexResponse, ServerMetadataResponse, StatisticDuration,
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryStatusResponse,
};

/// The body of every answer that is an error.
pub fn error(message: &str) -> Vec<u8> {
    document(|writer| writer.name("error").text(message))
}

/// `$metadata_server_response`.
pub fn server_metadata(server: &ServerMetadataResponse) -> Vec<u8> {
    document(|writer| {
        writer.name("name").text(&server.name);
        writer.name("version").text(&server.version);
        writer.name("extensions").texts(&server.extensions);
    })
}

/// `$metadata_model_response`.
pub fn model_metadata(model: &ModelMetadataResponse) -> Vec<u8> {
    document(|writer| {
        writer.name("name").text(&model.name);
        writer.name("versions").texts(&model.versions);
        writer.name("platform").text(&model.platform);
        tensors(writer, "inputs", &model.inputs, "datatype", "shape", "");
        tensors(writer, "outputs", &model.outputs, "datatype", "shape", "");
        properties(writer, "properties", &model.properties);
    })
}

/// What there is to say of a model in the words of Triton's model configuration: its name, and its tensors.
pub fn model_config(model: &ModelMetadataResponse) -> Vec<u8> {
    document(|writer| {
        writer.name("name").text(&model.name);
        writer.name("platform").text(&model.platform);
        writer.name("backend").text(&model.platform);
        tensors(writer, "input", &model.inputs, "data_type", "dims", "TYPE_");
        tensors(writer, "output", &model.outputs, "data_type", "dims", "TYPE_");
        // Values of parameters are objects there.
        writer.name("parameters").object(|writer| {
            for (name, value) in &model.properties {
                writer.name(name).object(|writer| writer.name("string_value").text(value));
            }
        });
    })
}

/// `$stats_model_response`.
pub fn model_statistics(statistics: &ModelStatisticsResponse) -> Vec<u8> {
    document(|writer| {
        writer
            .name("model_stats")
            .array(|writer| statistics.model_stats.iter().for_each(|model| model_stats(writer, model)));
    })
}

/// `$repository_index_response`.
pub fn repository_index(index: &RepositoryIndexResponse) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(|writer| {
        for model in &index.models {
            writer.object(|writer| {
                writer.name("name").text(&model.name);
                writer.name("version").text(&model.version);
                writer.name("state").text(&model.state);
                writer.name("reason").text(&model.reason);
            });
        }
    });
    writer.out
}

/// `$system_shared_memory_status_response`.
pub fn shared_memory_status(status: &SystemSharedMemoryStatusResponse) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(|writer| {
        for region in status.regions.values() {
            writer.object(|writer| {
                writer.name("name").text(&region.name);
                writer.name("key").text(&region.key);
                writer.name("offset").integer(region.offset);
                writer.name("byte_size").integer(region.byte_size);
            });
        }
    });
    writer.out
}

/// Reads `$system_shared_memory_register_request` for the region of that name.
pub fn register_shared_memory(
    body: &[u8],
    name: &str,
) -> Result<SystemSharedMemoryRegisterRequest, RestError> {
    let (mut key, mut offset, mut byte_size) = (None, 0, None);
    let mut reader = Reader::new(body)?;
    reader.object(|reader, member| {
        match member {
            "key" => key = Some(reader.text().map_err(|error| error.at("'key'"))?.into_owned()),
            "offset" => offset = size(reader, "'offset'")?,
            "byte_size" => byte_size = Some(size(reader, "'byte_size'")?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    let missing = |field| RestError::Missing { place: format!("the request to register '{name}'"), field };
    Ok(SystemSharedMemoryRegisterRequest {
        name: name.to_owned(),
        key: key.ok_or_else(|| missing("key"))?,
        offset,
        byte_size: byte_size.ok_or_else(|| missing("byte_size"))?,
    })
}

/// Reads the `parameters` of a request about the repository: their names, and those that are `true`, so that a caller
/// can refuse what it does not have. An empty body has none.
pub fn repository_parameters(body: &[u8]) -> Result<BTreeMap<String, bool>, RestError> {
    let mut parameters = BTreeMap::new();
    if body.is_empty() {
        return Ok(parameters);
    }
    let mut reader = Reader::new(body)?;
    reader.object(|reader, member| {
        if member != "parameters" {
            return reader.skip();
        }
        reader.object(|reader, name| {
            let value = reader.put_aside()?.rest() == "true";
            parameters.insert(name.to_owned(), value);
            Ok(())
        })
    })?;
    reader.end()?;
    Ok(parameters)
}

/// Reads whether a request for the repository's index asks for `ready` models only. An empty body does not.
pub fn index_is_of_ready(body: &[u8]) -> Result<bool, RestError> {
    let mut ready = false;
    if body.is_empty() {
        return Ok(ready);
    }
    let mut reader = Reader::new(body)?;
    reader.object(|reader, member| {
        if member == "ready" {
            ready = reader.boolean().map_err(|error| error.at("'ready'"))?;
            return Ok(());
        }
        reader.skip()
    })?;
    reader.end()?;
    Ok(ready)
}

fn document(members: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.object(members);
    writer.out
}

fn size(reader: &mut Reader<'_>, place: &str) -> Result<u64, RestError> {
    let written = reader.number().map_err(|error| error.at(place))?;
    written
        .parse()
        .map_err(|_| RestError::Invalid(format!("{place} is {written}; it must be a number of bytes")))
}

fn tensors(
    writer: &mut Writer,
    list: &str,
    tensors: &[TensorMetadata],
    datatype: &str,
    shape: &str,
    prefix: &str,
) {
    writer.name(list).array(|writer| {
        for tensor in tensors {
            writer.object(|writer| {
                writer.name("name").text(&tensor.name);
                writer.name(datatype).text(&format!("{prefix}{}", tensor.datatype));
                writer
                    .name(shape)
                    .array(|writer| tensor.shape.iter().for_each(|&length| writer.integer(length)));
            });
        }
    });
}

fn properties(writer: &mut Writer, name: &str, pairs: &BTreeMap<String, String>) {
    writer.name(name).object(|writer| pairs.iter().for_each(|(key, value)| writer.name(key).text(value)));
}

fn model_stats(writer: &mut Writer, model: &ModelStatistics) {
    writer.object(|writer| {
        writer.name("name").text(&model.name);
        writer.name("version").text(&model.version);
        writer.name("last_inference").integer(model.last_inference);
        writer.name("inference_count").integer(model.inference_count);
        writer.name("execution_count").integer(model.execution_count);
        let inference = model.inference_stats.unwrap_or_default();
        writer.name("inference_stats").object(|writer| {
            duration(writer, "success", inference.success);
            duration(writer, "fail", inference.fail);
            duration(writer, "queue", inference.queue);
            duration(writer, "compute_input", inference.compute_input);
            duration(writer, "compute_infer", inference.compute_infer);
            duration(writer, "compute_output", inference.compute_output);
            duration(writer, "cache_hit", inference.cache_hit);
            duration(writer, "cache_miss", inference.cache_miss);
        });
        writer.name("response_stats").object(|writer| {
            model.response_stats.iter().for_each(|(name, stats)| response(writer, name, stats));
        });
        writer
            .name("batch_stats")
            .array(|writer| model.batch_stats.iter().for_each(|stats| batch(writer, stats)));
        writer.name("memory_usage").array(|writer| {
            for usage in &model.memory_usage {
                writer.object(|writer| {
                    writer.name("type").text(&usage.r#type);
                    writer.name("id").integer(usage.id);
                    writer.name("byte_size").integer(usage.byte_size);
                });
            }
        });
    });
}

fn response(writer: &mut Writer, name: &str, stats: &InferResponseStatistics) {
    writer.name(name).object(|writer| {
        duration(writer, "compute_infer", stats.compute_infer);
        duration(writer, "compute_output", stats.compute_output);
        duration(writer, "success", stats.success);
        duration(writer, "fail", stats.fail);
        duration(writer, "empty_response", stats.empty_response);
        duration(writer, "cancel", stats.cancel);
    });
}

fn batch(writer: &mut Writer, stats: &InferBatchStatistics) {
    writer.object(|writer| {
        writer.name("batch_size").integer(stats.batch_size);
        duration(writer, "compute_input", stats.compute_input);
        duration(writer, "compute_infer", stats.compute_infer);
        duration(writer, "compute_output", stats.compute_output);
    });
}

fn duration(writer: &mut Writer, name: &str, duration: Option<StatisticDuration>) {
    let StatisticDuration { count, ns } = duration.unwrap_or_default();
    writer.name(name).object(|writer| {
        writer.name("count").integer(count);
        writer.name("ns").integer(ns);
    });
}
