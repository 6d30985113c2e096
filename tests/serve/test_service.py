"""The service behind the server: workers that end, order, and cancelled requests."""

import asyncio

import pytest
from helpers.faulty_worker import POISON
from helpers.tiny_corpus import write_corpus

from gaudi_asr_cli.core.errors import AsrError, DataError
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.worker_process import count_cores
from gaudi_asr_cli.core.serving import service as service_module
from gaudi_asr_cli.core.serving.messages import RequestOptions
from gaudi_asr_cli.core.serving.service import (
    QueueFullError,
    ServedModel,
    ServiceObserver,
    ServiceSettings,
    TimedOutError,
    TranscriptionService,
    WorkerLostError,
)

OPTIONS = InferenceOptions(temperatures=None, vad="auto")
MODELS = (ServedModel("demo", "demo", OPTIONS),)


class Ends(ServiceObserver):
    def __init__(self):
        self.ends, self.notices = [], []

    def worker_ended(self, model, end):
        self.ends.append(end)

    def noticed(self, message):
        self.notices.append(message)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return sorted(write_corpus(tmp_path_factory.mktemp("clips"), utterances=8).parent.glob("*.wav"))


def with_service(work, *, observer=None, **settings):
    async def run():
        service = TranscriptionService(MODELS, ServiceSettings(**settings), observer)
        await service.start()
        try:
            return await work(service)
        finally:
            await service.close()

    return asyncio.run(run())


async def transcribe(service, path):
    with service.admit():
        return (await service.transcribe("demo", path, RequestOptions())).transcript.text


def test_a_file_that_ends_its_process_costs_no_other_request(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(service_module, "SERVING_WORKER", "helpers.faulty_worker")
    poisoned = tmp_path / "poisoned.wav"
    poisoned.write_bytes(clips[0].read_bytes() + POISON)
    observer = Ends()

    async def work(service):
        alone = [await transcribe(service, clip) for clip in clips]
        order = [*clips[:4], poisoned, *clips[4:]]
        mixed = await asyncio.gather(
            *(transcribe(service, one) for one in order), return_exceptions=True
        )
        return alone, mixed, await transcribe(service, clips[0])

    alone, mixed, after = with_service(work, observer=observer)

    assert isinstance(mixed.pop(4), WorkerLostError)
    assert mixed == alone
    assert after == alone[0]
    assert len(observer.ends) == 2
    assert all("exit code 3" in end for end in observer.ends)


def test_one_request_more_than_the_queue_holds_is_sent_away():
    async def work(service):
        with service.admit(), pytest.raises(QueueFullError):
            service.admit()
        return service.in_flight

    assert with_service(work, max_queue=1) == 0


def test_a_request_that_takes_too_long_ends(clips):
    async def work(service):
        with pytest.raises(TimedOutError):
            await transcribe(service, clips[0])
        return service.in_flight

    assert with_service(work, timeout_s=0.001) == 0


def test_an_error_of_a_file_begins_with_its_name_as_the_sender_has_it(tmp_path):
    stored = tmp_path / "stored"
    stored.write_text("no audio")

    async def work(service):
        with service.admit(), pytest.raises(DataError) as raised:
            await service.transcribe("demo", stored, RequestOptions(), name="my talk.wav")
        return raised.value.message

    assert with_service(work).startswith("my talk.wav: ")


@pytest.mark.parametrize(("cards", "workers"), [(None, min(4, count_cores())), (1, 1), (2, 2)])
def test_a_cpu_serves_a_small_model_in_several_processes_unless_told(clips, cards, workers):
    async def work(service):
        texts = await asyncio.gather(*(transcribe(service, clip) for clip in clips))
        return service.count_workers("demo"), texts, await transcribe(service, clips[0])

    count, texts, alone = with_service(work, cards=cards)

    assert count == workers
    assert texts[0] == alone
    assert len(texts) == len(clips)


def test_a_second_process_that_cannot_start_is_done_without(clips, monkeypatch):
    await_opened = service_module._await_opened

    def await_first(process):
        if process.number:
            raise AsrError("There is no memory.", remedy="")
        return await_opened(process)

    monkeypatch.setattr(service_module, "_await_opened", await_first)
    observer = Ends()

    async def work(service):
        return service.count_workers("demo"), await transcribe(service, clips[0])

    if count_cores() > 1:
        count, text = with_service(work, observer=observer)
        assert (count, observer.notices) == (1, ["demo: There is no memory."])
        assert text
    with pytest.raises(AsrError, match="no memory"):
        with_service(work, cards=2)


def test_samples_give_the_text_of_their_file(clips):
    import soundfile

    async def work(service):
        samples = soundfile.read(clips[0], dtype="float32")[0]
        live = await service.transcribe_samples("demo", samples, RequestOptions())
        return live.transcript.text, await transcribe(service, clips[0])

    live, filed = with_service(work)

    assert live == filed
