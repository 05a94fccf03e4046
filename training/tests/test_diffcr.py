"""Routing, kept ratios and model folders of DiffCR, on tiny networks with random weights."""

import copy
import json
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel, PixArtTransformer2DModel

from training.contact_sheet import draw_with_pipeline
from training.diffcr import BINS, LearnedRatios, Settings, kept_tokens, load_routed, region, rescale, route, save_folder, set_kept, snap
from training.diffcr.ratios import mean, neighbours
from training.diffcr.start import bypass_costs, fit_to_cost

SIZE = dict(num_layers=3, num_attention_heads=2, attention_head_dim=16, sample_size=8, patch_size=2, in_channels=4)


def network(kind: str):
    torch.manual_seed(0)
    if kind == "pixart":
        text = dict(caption_channels=12, cross_attention_dim=32, use_additional_conditions=False)
        return PixArtTransformer2DModel(**SIZE, out_channels=4, **text).eval()
    return DiTTransformer2DModel(**SIZE, num_embeds_ada_norm=10).eval()


def inputs(kind: str) -> tuple[torch.Tensor, dict]:
    torch.manual_seed(1)
    latents, conditions = torch.randn(2, 4, 8, 8), {"timestep": torch.tensor([400, 400])}
    if kind == "pixart":
        return latents, conditions | {"encoder_hidden_states": torch.randn(2, 5, 12), "encoder_attention_mask": torch.ones(2, 5)}
    return latents, conditions | {"class_labels": torch.tensor([1, 2])}


def randomise(transformer, spread: float = 0.3):
    for block in transformer.transformer_blocks:
        torch.nn.init.normal_(block.router.weight, std=spread)
    return transformer


both = pytest.mark.parametrize("kind", ("pixart", "dit"))


@both
@pytest.mark.parametrize("scale", ("mlp", "block"))
@torch.no_grad()
def test_everything_kept_with_scores_of_one_is_the_dense_block(kind, scale):
    latents, conditions = inputs(kind)
    dense = network(kind)
    expected = dense(latents, **conditions).sample
    routed = route(copy.deepcopy(dense), scale)
    for block in routed.transformer_blocks:
        block.router.forward = lambda x: torch.full(x.shape[:2], 40.0)  # sigmoid(40) is 1 in f32
    set_kept(routed, [1.0] * 3)
    assert torch.allclose(routed(latents, **conditions).sample, expected, atol=2e-6)
    set_kept(routed, [0.5] * 3)
    assert not torch.allclose(routed(latents, **conditions).sample, expected, atol=1e-2)  # so that the line above can fail
    set_kept(routed, None)
    assert torch.equal(routed(latents, **conditions).sample, expected)


@both
@pytest.mark.parametrize("scale", ("mlp", "block"))
@torch.no_grad()
def test_a_block_computes_its_kept_rows_as_if_they_were_all(kind, scale):
    """Against the rule written out row by row, and bypassed rows unchanged to the bit."""
    torch.manual_seed(2)
    block = randomise(route(network(kind), scale)).transformer_blocks[1]
    x, conditions = torch.randn(2, 16, 32), {"timestep": torch.randn(2, 6 * 32), "encoder_hidden_states": torch.randn(2, 5, 32)}
    if kind == "dit":
        conditions = {"timestep": torch.tensor([3, 900]), "class_labels": torch.tensor([1, 2])}
    block.kept = 0.5
    out = block(x, **conditions)
    for b in range(2):
        one = {key: value[b : b + 1] for key, value in conditions.items()}
        logits = [float(row @ block.router.weight[0]) for row in x[b]]
        kept = sorted(sorted(range(16), key=lambda i: (-logits[i], i))[:8])
        scores = torch.sigmoid(torch.tensor(logits))[kept][None, :, None]
        block.kept = None
        if scale == "block":
            dense = block(x[b : b + 1, kept], **one)
            expected = x[b : b + 1, kept] + scores * (dense - x[b : b + 1, kept])
        else:
            second = block.ff.net[2]
            handle = second.register_forward_hook(lambda module, arguments, output: output * scores)
            expected = block(x[b : b + 1, kept], **one)
            handle.remove()
        block.kept = 0.5
        assert torch.allclose(out[b, kept], expected[0], atol=1e-5)
        bypassed = [i for i in range(16) if i not in kept]
        assert torch.equal(out[b, bypassed], x[b, bypassed])


@torch.no_grad()
def test_equal_scores_keep_the_first_tokens():
    block = route(network("pixart")).transformer_blocks[0]  # routers start at zero: all scores equal
    x = torch.randn(2, 16, 32)
    block.kept = 0.4
    out = block(x, timestep=torch.randn(2, 6 * 32), encoder_hidden_states=torch.randn(2, 5, 32))
    changed = (out != x).any(dim=2)
    assert changed[:, :7].all() and not changed[:, 7:].any()  # ceil(0.4·16) = 7


def test_how_many_tokens_are_kept():
    assert [kept_tokens(r, 1024) for r in reversed(BINS)] == [1024, 922, 820, 717, 615, 512, 410, 308]
    assert [kept_tokens(r, 64) for r in reversed(BINS)] == [64, 58, 52, 45, 39, 32, 26, 20]
    assert kept_tokens(0.1 + 0.2, 10) == 3 and kept_tokens(0.0, 10) == 1 and kept_tokens(1.5, 10) == 10


def test_regions_count_from_the_noisiest():
    assert [region(t, 4, 1000) for t in (999, 750, 749, 500, 499, 250, 249, 0)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert region(999.0, 4, 1000) == 0 and region(1000, 4, 1000) == 0 and region(123, 1, 1000) == 0
    assert [region(t, 3, 1000) for t in (999, 666, 665, 333, 332)] == [0, 0, 1, 1, 2]


def test_snapping_and_neighbours():
    assert [snap(r, BINS) for r in (1.2, 0.65, 0.649, 0.1, 0.95)] == [1.0, 0.7, 0.6, 0.3, 1.0]
    assert [neighbours(r, BINS) for r in (1.0, 0.95, 0.7, 0.3)] == [(0.9, 1.0), (0.9, 1.0), (0.6, 0.7), (0.3, 0.4)]


def test_rescaling_meets_the_target_with_one_factor():
    matrix = [[0.5, 0.7, 0.9, 1.0], [0.8, 0.9, 1.0, 1.0]]
    assert rescale(matrix, BINS, mean(matrix)) == matrix
    for target in (0.3, 0.4, 0.5, 0.62, 0.8, 1.0):
        got = rescale(matrix, BINS, target)
        assert abs(mean(got) - target) < 0.05 and all(r in BINS for row in got for r in row)
        assert all(a <= b for row, before in zip(got, matrix) for a, b, c, d in zip(row, row[1:], before, before[1:]) if c <= d)


@both
@pytest.mark.parametrize("start", (0.73, 1.0))
def test_gradient_of_a_ratio_is_the_finite_difference(kind, start):
    """The output is linear between bins, so differences are exact; at 1.0 only steps downwards stay inside."""
    latents, conditions = inputs(kind)
    transformer = randomise(route(network(kind))).double()
    latents, conditions = latents.double(), {k: v.double() if v.is_floating_point() else v for k, v in conditions.items()}

    def loss(ratios: torch.Tensor) -> torch.Tensor:
        set_kept(transformer, list(ratios.unbind()))
        return transformer(latents, **conditions).sample.square().mean()

    ratios = torch.full((3,), start, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(ratios), ratios)
    assert gradient.abs().min() > 1e-5
    for layer in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[layer] = 1e-6
        with torch.no_grad():
            ahead = loss(ratios) if start == 1.0 else loss(ratios + step)
            difference = (ahead - loss(ratios - step)) / (1e-6 if start == 1.0 else 2e-6)
        assert abs(difference - gradient[layer]) < 1e-3 * abs(gradient[layer]) + 1e-7


def test_the_ratio_loss_moves_one_region_and_the_clamp_holds():
    ratios = LearnedRatios(2, 3)
    ratios.loss(0, 0.7).backward()
    assert (ratios.matrix.grad[0] > 0).all() and (ratios.matrix.grad[1] == 0).all()
    ratios.matrix.data = torch.tensor([[1.4, 0.1, 0.5]])
    ratios.clamp()
    assert ratios.tolist() == [[1.0, 0.3, 0.5]]


@pytest.fixture(scope="module")
def dit_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dit")
    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    DiTPipeline(network("dit"), vae, DDIMScheduler()).save_pretrained(folder)
    return folder


MATRIX = [[0.3, 0.6, 1.0], [0.9, 0.5, 0.8]]


def test_a_saved_folder_loads_in_diffusers_and_routes_as_in_training(dit_folder, tmp_path):
    trained = randomise(route(network("dit")))
    for parameter in trained.parameters():
        parameter.data = parameter.data.half().float()  # as the file stores them
    save_folder(trained, Settings("mlp", list(BINS), MATRIX, 1000), dit_folder, tmp_path / "out")
    diffusers.DiTPipeline.from_pretrained(tmp_path / "out")
    assert "_name_or_path" not in (tmp_path / "out/transformer/config.json").read_text()
    latents, conditions = inputs("dit")
    routed = load_routed(tmp_path / "out").transformer
    with torch.no_grad():
        for timestep, row in ((999, 0), (500, 0), (499, 1), (0, 1)):
            conditions["timestep"] = torch.tensor([timestep, timestep])
            set_kept(trained, MATRIX[row])
            assert torch.equal(routed(latents, **conditions).sample, trained(latents, **conditions).sample)
        set_kept(trained, [mean(MATRIX)] * 3)
        mod = load_routed(tmp_path / "out", "mod").transformer
        assert torch.equal(mod(latents, **conditions).sample, trained(latents, **conditions).sample)
        set_kept(trained, None)
        dense = load_routed(tmp_path / "out", "dense").transformer
        assert torch.equal(dense(latents, **conditions).sample, trained(latents, **conditions).sample)
    with pytest.raises(ValueError, match="has no routers"):
        load_routed(dit_folder)


def test_the_bundle_keeps_its_other_files_byte_for_byte(tmp_path):
    transformer = PixArtTransformer2DModel.from_pretrained("assets/scenes-dense/transformer", dtype=torch.float32)
    randomise(route(transformer), 0.01)
    ratios = [[0.7] * len(transformer.transformer_blocks)]
    save_folder(transformer, Settings("mlp", list(BINS), ratios, 1000), "assets/scenes-dense", tmp_path / "out")
    files = lambda folder: {f.relative_to(folder): f.read_bytes() for f in Path(folder).rglob("*") if f.is_file()}
    before, after = files("assets/scenes-dense"), files(tmp_path / "out")
    assert before.keys() == after.keys()
    assert {str(name.parent) for name in before if before[name] != after[name]} == {"transformer"}
    config = json.loads(after[Path("transformer/config.json")])
    assert config.pop("diffcr") == {"scale": "mlp", "bins": list(BINS), "kept_ratio": ratios, "train_timesteps": 1000}
    assert config == json.loads(before[Path("transformer/config.json")])
    prompt = ["a red house in a meadow"]
    pictures = {policy: draw_with_pipeline(load_routed(tmp_path / "out", policy), prompt, 0, 2, 4.0)[0] for policy in ("diffcr", "dense")}
    plain = draw_with_pipeline(diffusers.PixArtSigmaPipeline.from_pretrained(tmp_path / "out", dtype=torch.float32), prompt, 0, 2, 4.0)[0]
    assert pictures["dense"] == plain and pictures["diffcr"] != plain


@both
@torch.no_grad()
def test_the_cost_of_a_bypassed_token_is_what_leaving_it_out_costs(kind):
    """Against a forward pass with that one row put back by hand."""
    latents, conditions = inputs(kind)
    one = {key: value[:1] for key, value in conditions.items()}
    transformer = network(kind)
    target = torch.randn(1, *transformer(latents[:1], **one).sample.shape[1:])
    loss = lambda prediction: (prediction - target).square().mean((1, 2, 3))
    predict = lambda: transformer(latents[:1], **one).sample
    costs, x = bypass_costs(transformer, 1, torch.tensor([3, 9]), predict, loss)
    dense = loss(predict())
    for cost, token in zip(costs, (3, 9)):

        def put_back(block, arguments, out):
            out = out.clone()
            out[0, token] = arguments[0][0, token]
            return out

        hook = transformer.transformer_blocks[1].register_forward_hook(put_back)
        assert torch.allclose(cost, (loss(predict()) - dense)[0], atol=1e-5)
        hook.remove()
    assert costs.abs().min() > 1e-5 and x.shape == (1, 16, 32)


@both
@torch.no_grad()
def test_routers_fitted_to_cost_keep_the_tokens_that_matter(kind):
    """The loss is the left half's distance to the dense prediction, so the last layer's tokens of the right half cost nothing."""
    _, conditions = inputs(kind)
    transformer = route(network(kind))
    one = {key: value[:1] for key, value in conditions.items()}

    def picture(i):
        torch.manual_seed(100 + i)
        noisy = torch.randn(1, 4, 8, 8)
        predict = lambda: transformer(noisy, **one).sample
        dense = predict()
        return predict, lambda prediction: (prediction - dense)[..., :4].square().mean((1, 2, 3))

    fit_to_cost(transformer, [picture(i) for i in range(24)], ratio=1.0, tokens=16)
    assert all(block.kept is None for block in transformer.transformer_blocks)
    seen = []
    hook = transformer.transformer_blocks[-1].register_forward_pre_hook(lambda block, arguments: seen.append(block.router(arguments[0])[0]))
    for i in range(24):
        picture(i)[0]()
    hook.remove()
    logits = torch.stack(seen[-24:]).view(24, 4, 4)
    assert logits[..., :2].mean() > logits[..., 2:].mean() + 0.2  # SPREAD is 0.5
    assert 2 < logits.mean() < 4


@torch.no_grad()
def test_cost_is_measured_with_the_layers_before_already_routed():
    latents, conditions = inputs("pixart")
    transformer, states = route(network("pixart")), []
    one = {key: value[:1] for key, value in conditions.items()}

    def predict():
        states.append([block.kept for block in transformer.transformer_blocks])
        return transformer(latents[:1], **one).sample

    fit_to_cost(transformer, [(predict, lambda prediction: prediction.square().mean((1, 2, 3)))], ratio=0.5, tokens=4)
    assert states[-1] == [0.5, 0.5, None] and [0.5, None, None] in states and states[0] == [None] * 3
