"""What speeds training up changes nothing when it is switched off, and added layers change nothing at first."""

import torch
from diffusers import PixArtTransformer2DModel

from training.accelerators import SceneHead, rows, run
from training.grow import deepen


def network(layers: int) -> PixArtTransformer2DModel:
    return PixArtTransformer2DModel(
        num_layers=layers, num_attention_heads=2, attention_head_dim=16, sample_size=16, out_channels=4,
        cross_attention_dim=32, caption_channels=24, use_additional_conditions=False,
    )  # fmt: skip


def inputs():
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return torch.randn(3, 4, 16, 16), torch.randn(3, 7, 24), mask, torch.tensor([10, 500, 990])


def plain(transformer, noisy, text, mask, timesteps):
    return transformer(noisy, encoder_hidden_states=text, encoder_attention_mask=mask, timestep=timesteps, return_dict=False)[0]


def test_without_routing_it_is_diffusers_forward():
    torch.manual_seed(0)
    transformer, given = network(3), inputs()
    out, tokens, at = run(transformer, *given, share=0.0, tap=1)
    assert torch.allclose(out, plain(transformer, *given), atol=1e-6)
    assert tokens.shape == (3, 64, 32) and at is None


def test_routed_tokens_pass_by_the_middle_layers_alone():
    torch.manual_seed(0)
    transformer, given, lengths = network(4), inputs(), []
    for layer in transformer.transformer_blocks:
        layer.register_forward_hook(lambda layer, arguments, out: lengths.append(out.shape[1]))
    out, tokens, at = run(transformer, *given, share=0.5, tap=2)
    assert lengths == [64, 32, 32, 64] and out.shape == given[0].shape
    assert tokens.shape == (3, 32, 32) and at.shape == (3, 32)


def test_added_layers_change_nothing():
    torch.manual_seed(0)
    shallow, deep, given = network(3), network(5), inputs()
    for parameter in shallow.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    grown = deepen({f"transformer.{name}": value for name, value in shallow.named_parameters()}, 5)
    deep.load_state_dict({name.removeprefix("transformer."): value for name, value in grown.items()}, strict=False)
    assert torch.allclose(plain(shallow, *given), plain(deep, *given), atol=1e-5)


def test_the_head_learns_what_covers_a_token():
    torch.manual_seed(0)
    head, tokens = SceneHead(16), torch.randn(2, 8, 16)
    labels = torch.tensor([[3, 1, 255, 255, 0], [5, 2, 7, 4, 0]])
    covered = torch.zeros(2, 8, 2)
    covered[0, :3, 0], covered[1, :2, 0], covered[1, 4:6, 1] = 1, 1, 0.5
    optimiser = torch.optim.Adam(head.parameters(), 0.1)
    first = head.loss(tokens, labels, covered).item()
    for _ in range(200):
        loss = head.loss(tokens, labels, covered)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    kinds = head.kind(head.norm(tokens)).argmax(-1)
    assert loss.item() < 0.5 * first
    assert (kinds[0, :3] == 3).all() and (kinds[0, 3:] == 12).all() and (kinds[1, :2] == 5).all()
    assert rows(covered, torch.tensor([[0, 3], [4, 5]])).shape == (2, 2, 2)
