from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ssal.checkpoint import save_state
from ssal.errors import InputError, RunError
from ssal.weights import load_fitting, read_weights, weights_file


def network(outputs: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, outputs))


@pytest.mark.parametrize(
    "wrap", [lambda state: state, lambda state: {"state_dict": state}, lambda s: {"model": s}]
)
def test_torch_files_are_read_through_their_wrappers(tmp_path: Path, wrap: object) -> None:
    source = network()
    torch.save(wrap(source.state_dict()), tmp_path / "w.pt")
    target = network()
    report = load_fitting(target, read_weights(tmp_path / "w.pt"))
    assert len(report.loaded) == 4 and not report.missing
    assert torch.equal(target[1].weight, source[1].weight)


def test_safetensors_with_prefixes_and_another_head(tmp_path: Path) -> None:
    source = network(outputs=7)
    save_file(
        {f"module.{name}": value for name, value in source.state_dict().items()}, tmp_path / "w.safetensors"
    )
    target = network()
    report = load_fitting(target, read_weights(tmp_path / "w.safetensors"))
    assert set(report.loaded) == {"0.weight", "0.bias"}
    assert any("1.weight (7, 5) for (3, 5)" in text for text in report.mismatched)
    assert "2 of 4 tensors loaded" in str(report)
    assert torch.equal(target[0].weight, source[0].weight)


def test_averaged_weights_are_taken_where_there_are_some(tmp_path: Path) -> None:
    plain, averaged = network(), network()
    torch.save({"state_dict": plain.state_dict(), "state_dict_ema": averaged.state_dict()}, tmp_path / "w.pt")
    assert torch.equal(read_weights(tmp_path / "w.pt")["1.weight"], averaged[1].weight)


@pytest.mark.parametrize("prefix", ["_orig_mod.module.", "module._orig_mod.", "model.backbone.", "module."])
def test_prefixes_are_taken_off_in_any_order(prefix: str) -> None:
    source, target = network(), network()
    report = load_fitting(target, {prefix + name: value for name, value in source.state_dict().items()})
    assert len(report.loaded) == 4 and torch.equal(target[1].weight, source[1].weight)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weight fits Sequential"):
        load_fitting(network(), {"conv.weight": torch.zeros(1)})


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "state_dict": state}])
def test_a_state_of_a_run_is_read(tmp_path: Path, wrap: object) -> None:
    source, target = network(), network()
    state = {f"model.backbone.{name}": value for name, value in source.state_dict().items()}
    save_state(tmp_path / "baseline.ckpt", wrap(state))
    assert len(load_fitting(target, read_weights(tmp_path / "baseline.ckpt")).loaded) == 4
    assert torch.equal(target[1].weight, source[1].weight)
    content = bytearray((tmp_path / "baseline.ckpt").read_bytes())
    content[-1] ^= 1
    (tmp_path / "baseline.ckpt").write_bytes(content)
    with pytest.raises(RunError, match="damaged: its checksum does not match"):
        read_weights(tmp_path / "baseline.ckpt")


@pytest.mark.parametrize("inside", ["model", ""])
def test_of_a_run_or_a_saved_model_its_weights_are_read(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "run" / inside
    folder.mkdir(parents=True)
    save_file(network().state_dict(), folder / "model.safetensors")
    assert weights_file(tmp_path / "run") == folder / "model.safetensors"
    assert len(read_weights(tmp_path / "run")) == 4
    with pytest.raises(RunError, match="no weights file at"):
        read_weights(tmp_path)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, (str(Payload.target), "w"))

    target: Path


def test_a_pickle_payload_is_never_executed(tmp_path: Path) -> None:
    Payload.target = tmp_path / "executed"
    torch.save({"state_dict": {"w": torch.zeros(1)}, "extra": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(RunError, match="cannot|safely"):
        read_weights(tmp_path / "evil.pt")
    assert not Payload.target.exists()


def test_a_whole_model_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "model.pt")
    with pytest.raises(RunError, match=r"has a torch\.nn\.\S+ in it; save the state dict alone") as caught:
        read_weights(tmp_path / "model.pt")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04.", b"hello, these are words\n"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    reason = "no file of PyTorch, or damaged" if name == "w.pt" else "header"
    with pytest.raises(RunError, match=f"{name} holds no weights that can be read safely: .*{reason}"):
        read_weights(tmp_path / name)
    with pytest.raises(RunError, match="no weights file"):
        read_weights(tmp_path / "missing.pt")


def test_files_without_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(RunError, match="no tensors"):
        read_weights(tmp_path / "w.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(RunError, match="list, not a state dict"):
        read_weights(tmp_path / "list.pt")
