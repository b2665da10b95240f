//! The facade as a Rust integrator uses it: an agent, workers written in Rust, and a client.
//!
//! The worker process is this test binary itself, told to run the one ignored test below.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod fleet;

use std::time::Duration;

use anyserve::agent::{Agent, AgentConfig, Error, FleetConfig, Served, Shutdown, WorkerCommand};
use anyserve::client::{CallOptions, Client, ClientError};
use anyserve::proto::inference::model_infer_request::InferInputTensor;
use anyserve::proto::inference::model_infer_response::InferOutputTensor;
use anyserve::proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve::proto::worker::Capability;
use anyserve::worker::{Failure, FailureKind, Request, Worker};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::Code;

const WATCHDOG: Duration = Duration::from_secs(60);

#[test]
#[ignore = "not a test: the worker process of the others"]
fn worker_process() {
    let worker = Worker::from_env().unwrap();
    let capability = |name: &str| Capability {
        pairs: [("type".to_owned(), name.to_owned())].into(),
        stream: name == "chunks",
        ..Default::default()
    };
    worker.ready(["echo", "fail", "exit", "drop", "chunks"].map(capability).into(), 1, false).unwrap();
    while let Some(mut request) = worker.next() {
        match request.capability() {
            0 => {
                let (infer, contents) = request.take();
                let outputs = infer.inputs.into_iter().map(|input| InferOutputTensor {
                    name: input.name,
                    datatype: input.datatype,
                    shape: input.shape,
                    ..Default::default()
                });
                let response = ModelInferResponse { outputs: outputs.collect(), ..Default::default() };
                request.reply(response, &contents);
            }
            1 => request.fail(Failure::new(FailureKind::NotFound, "no such thing")),
            2 => std::process::exit(3),
            4 => stream_chunks(request),
            _ => drop(request),
        }
    }
    // Nothing of libtest's may follow.
    std::process::exit(0);
}

/// Each byte of the input asks for a chunk of as many times 32 KiB.
fn stream_chunks(mut request: Request) {
    let (_, contents) = request.take();
    for &size in &contents[0] {
        let chunk = Bytes::from(vec![size; usize::from(size) << 15]);
        let output = InferOutputTensor {
            name: "chunk".to_owned(),
            datatype: "UINT8".to_owned(),
            shape: vec![i64::try_from(chunk.len()).unwrap()],
            ..Default::default()
        };
        let response = ModelInferResponse { outputs: vec![output], ..Default::default() };
        request.send(response, &[chunk]).unwrap();
    }
    request.finish();
}

struct Running {
    client: Client,
    shutdown: Shutdown,
    agent: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Running {
    async fn start(workers: usize) -> Self {
        let (running, served) =
            Self::of(AgentConfig::new(([127, 0, 0, 1], 0).into(), workers_of_this(workers))).await;
        assert_eq!((served.workers, served.capabilities.len()), (workers, 5));
        running
    }

    async fn of(config: AgentConfig) -> (Self, Served) {
        let agent = Agent::bind(config).await.unwrap();
        let client = Client::new(&agent.address().to_string()).unwrap();
        let (shutdown, (sender, ready)) = (Shutdown::default(), oneshot::channel());
        let run = agent.run(shutdown.clone(), |served| drop(sender.send(served)));
        let agent = tokio::spawn(run);
        let served = tokio::time::timeout(WATCHDOG, ready).await.unwrap().unwrap();
        (Self { client, shutdown, agent }, served)
    }

    async fn infer(&self, model: &str, contents: Vec<u8>) -> Result<ModelInferResponse, ClientError> {
        infer(self.client.clone(), model, contents).await
    }

    async fn code(&self, model: &str) -> (Code, String) {
        match self.infer(model, vec![0]).await.unwrap_err() {
            ClientError::Status(status) => (status.code(), status.message().to_owned()),
            error => panic!("{error:?}"),
        }
    }

    async fn stop(self) {
        self.shutdown.drain.cancel();
        tokio::time::timeout(WATCHDOG, self.agent).await.unwrap().unwrap().unwrap();
    }
}

/// So many workers, each this binary.
fn workers_of_this(count: usize) -> FleetConfig {
    let args = ["--exact", "worker_process", "--ignored", "--quiet"].map(Into::into);
    let command = WorkerCommand::new(std::env::current_exe().unwrap(), args);
    FleetConfig::of(command, u32::try_from(count).unwrap())
}

async fn infer(client: Client, model: &str, contents: Vec<u8>) -> Result<ModelInferResponse, ClientError> {
    let options = CallOptions { timeout: Some(WATCHDOG), ..Default::default() };
    client.infer(request(model, contents), &options).await
}

fn request(model: &str, contents: Vec<u8>) -> ModelInferRequest {
    let shape = vec![i64::try_from(contents.len()).unwrap()];
    let input =
        InferInputTensor { name: "x".to_owned(), datatype: "UINT8".to_owned(), shape, ..Default::default() };
    ModelInferRequest {
        model_name: model.to_owned(),
        id: "7".to_owned(),
        inputs: vec![input],
        raw_input_contents: vec![contents.into()],
        ..Default::default()
    }
}

#[tokio::test]
async fn streams_with_responses_of_any_size_never_wait_for_ever() {
    let running = Running::start(1).await;
    // Many small ones leave part of the window unreported; then large ones, up to twice the window, must still go.
    let small_then_large = [vec![1; 31], vec![30, 64, 0, 17, 17, 17]].concat();
    for sizes in [vec![], vec![0; 200], vec![64; 5], small_then_large] {
        let options = CallOptions { timeout: Some(WATCHDOG), ..Default::default() };
        let mut stream = running.client.stream(request("chunks", sizes.clone()), &options).await.unwrap();
        let mut got = Vec::new();
        while let Some(response) = stream.next().await {
            let response = response.unwrap();
            assert_eq!((response.model_name.as_str(), response.id.as_str()), ("chunks", "7"));
            got.push(u8::try_from(response.raw_output_contents[0].len() >> 15).unwrap());
        }
        assert_eq!(got, sizes);
    }
    let (code, message) = running.code("chunks").await;
    assert_eq!(code, Code::Unimplemented, "{message}");
    running.stop().await;
}

#[tokio::test]
async fn contents_of_every_size_come_back() {
    let running = Running::start(2).await;
    // Below and above what is copied behind a message, what one read holds, and what a socket buffer holds.
    for size in [0, 1, 8 * 1024, 8 * 1024 + 1, 40_000, 300_000, 5_000_000] {
        let contents: Vec<u8> = (0..size).map(|index: u32| index.to_le_bytes()[0]).collect();
        let response = running.infer("echo", contents.clone()).await.unwrap();
        assert_eq!(response.raw_output_contents, [contents]);
        assert_eq!((response.model_name.as_str(), response.id.as_str()), ("echo", "7"));
    }
    running.stop().await;
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let running = Running::start(2).await;
    let mut calls = JoinSet::new();
    for index in 0..200_u8 {
        let client = running.client.clone();
        calls.spawn(async move { (index, infer(client, "echo", vec![index; 3]).await) });
    }
    let mut answered = 0;
    while let Some(call) = calls.join_next().await {
        let (index, response) = call.unwrap();
        assert_eq!(response.unwrap().raw_output_contents, [vec![index; 3]]);
        answered += 1;
    }
    assert_eq!(answered, 200);
    running.stop().await;
}

#[tokio::test]
async fn every_way_to_fail_has_its_code_and_the_agent_goes_on() {
    let running = Running::start(1).await;
    assert_eq!(running.code("fail").await, (Code::NotFound, "no such thing".to_owned()));
    let (code, message) = running.code("exit").await;
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("exited with code 3"), "{message}");
    let (code, message) = running.code("drop").await;
    assert_eq!(code, Code::Internal);
    assert!(message.contains("without an answer"), "{message}");
    let (code, message) = running.code("unknown").await;
    assert_eq!(code, Code::NotFound);
    assert!(message.contains("{type: unknown}"), "{message}");
    assert!(running.infer("echo", vec![1]).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let running = Running::start(1).await;
    let address = running.client.endpoint().parse().unwrap();
    let fleet = FleetConfig::of(WorkerCommand::new("/bin/false", []), 1);
    let error = Agent::bind(AgentConfig::new(address, fleet)).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn a_program_that_is_no_worker_fails_the_start() {
    let fleet = FleetConfig::of(WorkerCommand::new("/bin/false", []), 1);
    let agent = Agent::bind(AgentConfig::new(([127, 0, 0, 1], 0).into(), fleet)).await.unwrap();
    let error = agent.run(Shutdown::default(), |_| panic!("it cannot be ready")).await.unwrap_err();
    assert_eq!(error.to_string(), "the worker exited with code 1");
}
