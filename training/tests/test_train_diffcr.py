"""Fine-tuning with routing: a few steps on made-up latents, a tiny PixArt with the bundle's text encoder, a tiny DiT."""

import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel, FlowMatchEulerDiscreteScheduler

from training.diffcr import BINS, load_routed, save_folder
from training.diffusion import objective_for
from training.runtime import load_checkpoint, save_checkpoint
from training.train_diffcr import Run, parse

from .tiny import network


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.save(folder / "latents.npy", rng.normal(size=(20, 4, 16, 16)).astype(np.float16))
    tokens = rng.integers(3, 200, (20, 2, 32)).astype(np.uint16)
    tokens[:, :, 10:] = 0
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "labels.npy", rng.integers(0, 10, 20))
    return folder


@pytest.fixture(scope="module")
def dit_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dit")
    torch.manual_seed(0)
    network = DiTTransformer2DModel(num_layers=2, num_attention_heads=2, attention_head_dim=16, sample_size=16, num_embeds_ada_norm=10)
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    DiTPipeline(network, vae, DDIMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pixart_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pixart")
    save_folder(network(4), None, "assets/scenes", folder)
    return str(folder)


def run(data, out, *words) -> Run:
    return Run(parse(["--data", str(data), "--out", str(out), "--steps", "6", "--batch", "6", "--warm-up", "2", "--start-pictures", "3", *words]))


def advance(one: Run, until: int) -> Run:
    while one.step < until:
        one.advance(one.step / one.options.steps)
    return one


@pytest.mark.parametrize("words", (["--mode", "lt"], ["--mode", "mod", "--optimiser", "adamw"], ["--mode", "l", "--lora", "4"]))
def test_two_halves_are_one_run(data, pixart_folder, tmp_path, words):
    words = ["--model", pixart_folder, *words]
    whole = advance(run(data, tmp_path / "whole", *words), 6)
    first = advance(run(data, tmp_path / "halves", *words), 2)  # before ratios are snapped, at step 3
    save_checkpoint(tmp_path / "halves" / "checkpoint.pt", **first.state())
    second = run(data, tmp_path / "halves", *words)
    second.load(load_checkpoint(tmp_path / "halves" / "checkpoint.pt"))
    advance(second, 6)
    assert second.matrix() == whole.matrix()
    for (name, a), b in zip(whole.transformer.state_dict().items(), second.transformer.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_an_export_holds_what_was_trained(data, pixart_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("training.train_diffcr.bf16_is_fast", lambda: False)
    trained = advance(run(data, tmp_path, "--model", pixart_folder, "--mode", "lt", "--lora"), 4)
    before = {name: p.clone() for name, p in trained.transformer.named_parameters() if "to_q.base_layer" in name}
    folder = trained.export()
    config = json.loads((folder / "transformer" / "config.json").read_text())["diffcr"]
    assert len(config["kept_ratio"]) == 4 and all(ratio in BINS for row in config["kept_ratio"] for ratio in row)
    loaded = load_routed(folder).transformer
    noisy, timesteps, conditions, *_ = trained.noisy_batch(9)
    timesteps[:] = 900
    for parameter in trained.transformer.parameters():
        parameter.data = parameter.data.half().float()  # as the file stores them
    with torch.no_grad():
        for block, ratio in zip(trained.transformer.transformer_blocks, config["kept_ratio"][0]):
            block.kept = ratio
        expected = trained.predict(noisy, timesteps, conditions)
        got = loaded(noisy, timestep=timesteps, **conditions).sample
    assert torch.allclose(got, expected, atol=1e-5)
    name = next(iter(before))
    merged = dict(trained.transformer.named_parameters())[name.replace(".base_layer", "")]
    assert not torch.equal(merged, before[name])


def test_the_bundle_starts_as_it_was(data, tmp_path):
    routed, dense = (run(data, tmp_path / mode, "--mode", mode) for mode in ("l", "dense"))
    with torch.no_grad():
        a, b = routed.losses(0.0)[1], dense.losses(0.0)[1]
    assert abs(a - b) < 0.05 * b  # 3 % here; routers at zero double the bundle's loss on its own scenes
    assert sum(block.router.weight.abs().sum() for block in routed.transformer.transformer_blocks) > 0


def test_fitted_routers_are_kept_and_may_serve_another_run(data, pixart_folder, tmp_path, monkeypatch):
    words = ["--model", pixart_folder, "--mode", "mod"]
    routers = lambda one: {name: p.detach().clone() for name, p in one.transformer.named_parameters() if ".router." in name}
    same = lambda a, b: all(torch.equal(a[name], b[name]) for name in a)
    fitted = routers(run(data, tmp_path / "first", *words))
    monkeypatch.setattr(Run, "fit_to_cost", lambda _: pytest.fail("fitted again"))
    assert same(fitted, routers(run(data, tmp_path / "first", *words)))  # interrupted before its first checkpoint
    file = tmp_path / "first" / "routers.safetensors"
    frozen = run(data, tmp_path / "second", *words, "--routers", str(file), "--router-rate", "0")
    assert same(fitted, routers(frozen)) and same(fitted, routers(advance(frozen, 3)))
    trained = run(data, tmp_path / "third", *words, "--routers", str(file))
    assert same(fitted, routers(trained)) and not same(fitted, routers(advance(trained, 3)))
    with pytest.raises(SystemExit, match="routers of another model"):
        run(data, tmp_path / "fourth", "--mode", "mod", "--routers", str(file))  # the bundle has more layers


def test_ratios_reach_their_target_and_stay(data, pixart_folder, tmp_path):
    one = run(data, tmp_path, "--model", pixart_folder, "--mode", "lt", "--regions", "2", "--target", "0.5", "--settle", "0.5")
    advance(one, 3)
    assert all(ratio < 1 for row in one.matrix() for ratio in row) and one.fixed is None
    advance(one, 4)
    matrix = one.matrix()
    assert len(matrix) == 2 and abs(np.mean(matrix) - 0.5) < 0.03 and all(ratio in BINS for row in matrix for ratio in row)
    assert advance(one, 6).matrix() == matrix


@pytest.mark.parametrize("mode", ("dense", "mod", "lt"))
def test_a_class_conditional_model_that_predicts_noise(data, dit_folder, tmp_path, mode):
    one = run(data, tmp_path, "--mode", mode, "--model", str(dit_folder))
    assert 0.5 < one.losses(0.0)[1] < 3.0
    folder = advance(one, 6).export()
    load_routed(folder, "dense" if mode == "dense" else "diffcr")
    assert ("diffcr" in (folder / "transformer" / "config.json").read_text()) == (mode != "dense")


@pytest.mark.parametrize("kind", ("sample", "epsilon", "v_prediction"))
def test_the_scheduler_says_what_to_predict(kind):
    """By the scheduler's own arithmetic: the prediction without error is the one it turns into the clean latents."""
    torch.manual_seed(0)
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)
    scheduler.set_timesteps(1000)
    objective, latents, noise = objective_for(scheduler), torch.randn(1, 4, 4, 4), torch.randn(1, 4, 4, 4)
    timesteps = torch.tensor([400])
    noisy = objective.add_noise(latents, noise, timesteps)
    alpha, sigma = objective.alpha[400], objective.sigma[400]
    perfect = {"sample": latents, "epsilon": noise, "v_prediction": alpha * noise - sigma * latents}[kind]
    assert torch.allclose(scheduler.step(perfect, 400, noisy).pred_original_sample, latents, atol=1e-4)
    assert objective.loss(perfect, latents, noise, timesteps) < 1e-10
    assert objective.loss(perfect + 0.1, latents, noise, timesteps) > 1e-3


def test_a_scheduler_without_a_diffusion_schedule_is_refused():
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler"):
        objective_for(FlowMatchEulerDiscreteScheduler())


@pytest.mark.parametrize("folder", ("pixart_folder", "dit_folder"))
def test_the_teacher_is_the_model_before_it_was_routed(data, tmp_path, monkeypatch, request, folder):
    monkeypatch.setattr("training.train_diffcr.bf16_is_fast", lambda: False)
    words = ["--model", str(request.getfixturevalue(folder)), "--teach", "1"]
    dense = run(data, tmp_path / "dense", *words, "--mode", "dense")
    total, diffusion = dense.losses(0.0)
    assert total.item() < 1e-9 and diffusion > 0.1  # nothing to learn from itself
    routed = run(data, tmp_path / "mod", *words, "--mode", "mod", "--target", "0.5")
    teacher = {name: p.clone() for name, p in routed.teacher.state_dict().items()}
    before = routed.losses(0.0)[0].item()
    assert before > 1e-6
    advance(routed, 3)
    assert all(torch.equal(p, teacher[name]) for name, p in routed.teacher.state_dict().items())
    assert not any(".router." in name for name in teacher)
    halfway = run(data, tmp_path / "half", *words[:3], "0.5", "--mode", "mod", "--target", "0.5")
    total, diffusion = halfway.losses(0.0)
    assert total.item() == pytest.approx(0.5 * diffusion + 0.5 * before, rel=1e-5)
